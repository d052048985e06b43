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

{{/*
The service account of a pod: coordinators have one of their own, whose annotations may give a role
that opens the archive. Workers read what strangers answer. Takes a dict: root, component.
*/}}
{{- define "kudzu.serviceAccountName" -}}
{{- $own := .root.Values.serviceAccount -}}
{{- $made := printf "%s-%s" (include "kudzu.fullname" .root) (ternary "coordinator" "bare" (eq .component "coordinator")) -}}
{{- if and $own.name (eq .component "coordinator") -}}
{{- $own.name -}}
{{- else -}}
{{- ternary $made "default" $own.create -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a pod's labels. Takes a dict: root, component. */}}
{{- define "kudzu.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{/* What the chart says of every object. Takes a dict: root, component. */}}
{{- define "kudzu.ownLabels" -}}
{{ include "kudzu.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kudzu
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* All labels of an object. Takes a dict: root, component, and perhaps labels. */}}
{{- define "kudzu.labels" -}}
{{- $own := fromYaml (include "kudzu.ownLabels" .) -}}
{{- toYaml (mergeOverwrite (dict) (default (dict) .root.Values.commonLabels) (default (dict) .labels) $own) -}}
{{- end -}}

{{/*
Labels of the pods of an object, without the version, which would start them anew. Takes a dict:
root, component, and perhaps pod (the values of the role).
*/}}
{{- define "kudzu.podLabels" -}}
{{- $own := fromYaml (include "kudzu.selector" .) -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "kudzu" -}}
{{- toYaml (mergeOverwrite (dict) (default (dict) .root.Values.commonLabels) (dig "podLabels" (dict) (default (dict) .pod)) $own) -}}
{{- end -}}

{{/* Annotations of the pods of a role. Takes a dict: root, pod. */}}
{{- define "kudzu.podAnnotations" -}}
{{- toYaml (mergeOverwrite (dict) (default (dict) .pod.podAnnotations) (fromYaml (include "kudzu.checksums" .root))) -}}
{{- end -}}

{{/* The metadata of an object. Takes a dict: root, component, name, and perhaps labels, annotations. */}}
{{- define "kudzu.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "kudzu.labels" . | nindent 2 }}
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
