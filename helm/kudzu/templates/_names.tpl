{{/* The start of every name: short enough that what follows stays below 63. */}}
{{- define "kudzu.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kudzu.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "kudzu.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a pod's labels. Takes a dict: root, component. */}}
{{- define "kudzu.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{/* Takes a dict: root, component. */}}
{{- define "kudzu.labels" -}}
{{ include "kudzu.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kudzu
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object. Takes a dict: root, component, name, and perhaps labels, annotations. */}}
{{- define "kudzu.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "kudzu.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image's reference. Takes a dict: registry, image, and the tag where it has none. */}}
{{- define "kudzu.image" -}}
{{- $path := .image.repository -}}
{{- with .registry }}{{ $path = printf "%s/%s" (trimSuffix "/" .) $path }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $path .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The names of Secrets: an own one where a value is given, else the existing one. */}}
{{- define "kudzu.brokerSecret" -}}
{{- if .Values.broker.existingSecret }}{{ .Values.broker.existingSecret }}{{ else }}{{ include "kudzu.fullname" . }}-broker{{ end -}}
{{- end -}}
{{- define "kudzu.redisSecret" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.existingSecret }}{{ else }}{{ include "kudzu.fullname" . }}-redis{{ end -}}
{{- end -}}
{{- define "kudzu.s3Secret" -}}
{{- if .Values.archive.s3.existingSecret }}{{ .Values.archive.s3.existingSecret }}{{ else }}{{ include "kudzu.fullname" . }}-s3{{ end -}}
{{- end -}}
{{- define "kudzu.sourcesSecret" -}}
{{- if .Values.sources.existingSecret }}{{ .Values.sources.existingSecret }}{{ else }}{{ include "kudzu.fullname" . }}-sources{{ end -}}
{{- end -}}

{{/* Whether RabbitMQ and Redis come with the release: "true" or nothing. */}}
{{- define "kudzu.devRabbit" -}}
{{- if and .Values.devServices.enabled (not (or .Values.broker.existingSecret .Values.broker.url)) }}true{{ end -}}
{{- end -}}
{{- define "kudzu.devRedis" -}}
{{- if and .Values.devServices.enabled (not (or .Values.redis.existingSecret .Values.redis.url)) }}true{{ end -}}
{{- end -}}

{{/* Whether there is a Redis, and so on: "true" or nothing. */}}
{{- define "kudzu.hasRedis" -}}
{{- if or .Values.devServices.enabled .Values.redis.existingSecret .Values.redis.url }}true{{ end -}}
{{- end -}}
{{- define "kudzu.hasSources" -}}
{{- if or .Values.sources.existingSecret .Values.sources.env }}true{{ end -}}
{{- end -}}
{{- define "kudzu.hasResolvers" -}}
{{- if or (dig "dns" "resolvers" (list) .Values.config) (dig "dns" "encrypted" (list) .Values.config) }}true{{ end -}}
{{- end -}}
{{- define "kudzu.hasS3Key" -}}
{{- if and (eq .Values.archive.type "s3") (or .Values.archive.s3.existingSecret .Values.archive.s3.accessKey) }}true{{ end -}}
{{- end -}}

{{/* Where the archive's claim is. */}}
{{- define "kudzu.claim" -}}
{{- default (printf "%s-archive" (include "kudzu.fullname" .)) .Values.archive.claim.existingClaim -}}
{{- end -}}

{{/* Whether only one node can mount the claim: "true" or nothing. */}}
{{- define "kudzu.oneNode" -}}
{{- if and (eq .Values.archive.type "claim") (not (has "ReadWriteMany" .Values.archive.claim.accessModes)) }}true{{ end -}}
{{- end -}}

{{/* Whether a simulated internet stands beside the workers. */}}
{{- define "kudzu.hasSimnet" -}}
{{- if and .Values.devServices.enabled .Values.devServices.simnet.enabled }}true{{ end -}}
{{- end -}}

{{/* A token for the test pod, and for commands in a coordinator's pod: Secret and key. */}}
{{- define "kudzu.tokenSecret" -}}
{{- if .Values.test.existingSecret -}}
{{- .Values.test.existingSecret -}}
{{- else if .Values.devServices.enabled -}}
{{- include "kudzu.fullname" . }}-dev
{{- end -}}
{{- end -}}
{{- define "kudzu.tokenKey" -}}
{{- if .Values.test.existingSecret }}{{ .Values.test.key }}{{ else }}token{{ end -}}
{{- end -}}
