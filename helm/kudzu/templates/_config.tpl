{{/* TOML. toToml would write every number with a point, which no whole number may have. */}}
{{- define "kudzu.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* Takes a dict: key, value. What is JSON is TOML too, but for maps and whole numbers. */}}
{{- define "kudzu.toml.value" -}}
{{- $value := .value -}}
{{- if kindIs "map" $value -}}
{ {{- range $at, $key := keys $value | sortAlpha }}{{ if $at }},{{ end }} {{ include "kudzu.toml.key" $key }} = {{ include "kudzu.toml.value" (dict "key" $key "value" (get $value $key)) }}{{ end }} }
{{- else if kindIs "slice" $value -}}
[{{ range $at, $one := $value }}{{ if $at }}, {{ end }}{{ include "kudzu.toml.value" (dict "key" "" "value" $one) }}{{ end }}]
{{- else if and (eq .key "rate") (eq (toString $value) "inf") -}}
inf
{{- else if eq (typeOf $value) "json.Number" -}}
{{ toString $value }}
{{- else if kindIs "float64" $value -}}
{{ if eq $value (floor $value) }}{{ printf "%.0f" $value }}{{ else }}{{ toJson $value }}{{ end }}
{{- else -}}
{{ toJson $value }}
{{- end -}}
{{- end -}}

{{/* A table and those below it. Takes a dict: path, table. */}}
{{- define "kudzu.toml" -}}
{{- $path := .path -}}
{{- $table := .table -}}
{{- range $key := keys $table | sortAlpha }}
{{- $value := get $table $key }}
{{- $isTable := and (kindIs "map" $value) (ne $key "headers") }}
{{- if not (or $isTable (kindIs "invalid" $value)) }}
{{ include "kudzu.toml.key" $key }} = {{ include "kudzu.toml.value" (dict "key" $key "value" $value) }}
{{- end }}
{{- end }}
{{- range $key := keys $table | sortAlpha }}
{{- $value := get $table $key }}
{{- if and (kindIs "map" $value) (ne $key "headers") }}
{{- $below := include "kudzu.toml.key" $key }}
{{- if $path }}{{ $below = printf "%s.%s" $path $below }}{{ end }}

[{{ $below }}]
{{- include "kudzu.toml" (dict "path" $below "table" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* All of kudzu.toml but what is secret. */}}
{{- define "kudzu.settings" -}}
{{- $config := deepCopy .Values.config -}}
{{- if eq (include "kudzu.hasSimnet" .) "true" -}}
{{- $config = mergeOverwrite (fromYaml (include "kudzu.simnet.settings" .)) $config -}}
{{- end -}}
{{- if .Values.devServices.enabled -}}
{{- $dev := dict "tenant" "local" "sha256" (sha256sum .Values.devServices.token) "scopes" (list "read" "submit") -}}
{{- $config = merge $config (dict "api" (dict "tokens" (dict "dev" $dev))) -}}
{{- $config = merge $config (dict "tenants" (dict "local" (dict "tlp" "TLP:CLEAR" "pap" "PAP:GREEN"))) -}}
{{- end -}}
{{- $archive := dict "url" "memory:" "retention_days" .Values.archive.retentionDays -}}
{{- if eq .Values.archive.type "claim" -}}
{{- $_ := set $archive "url" "file:///archive" -}}
{{- else if eq .Values.archive.type "s3" -}}
{{- $s3 := .Values.archive.s3 -}}
{{- $_ := set $archive "url" $s3.url -}}
{{- $_ := set $archive "region" $s3.region -}}
{{- with $s3.endpoint }}{{ $_ := set $archive "endpoint" . }}{{ end -}}
{{- with $s3.allowHttp }}{{ $_ := set $archive "allow_http" . }}{{ end -}}
{{- end -}}
{{- $_ := set $config "archive" $archive -}}
{{- include "kudzu.toml" (dict "path" "" "table" $config) | trim -}}
{{- end -}}

{{/* One variable out of a Secret. Takes a list: name, Secret, key. */}}
{{- define "kudzu.env.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 | quote }}
      key: {{ index . 2 | quote }}
{{- end -}}

{{/*
The chart's own variables of a coordinator or a worker; none of extraEnv may be among them. Takes a
dict: root, component.
*/}}
{{- define "kudzu.env" -}}
{{- $values := .root.Values -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
# Where kubectl exec finds the settings too.
- name: XDG_CONFIG_HOME
  value: /etc
{{ include "kudzu.env.secret" (list "KUDZU_BROKER__URL" (include "kudzu.brokerSecret" .root) $values.broker.key) }}
{{- if include "kudzu.hasRedis" .root }}
{{ include "kudzu.env.secret" (list "KUDZU_REDIS__URL" (include "kudzu.redisSecret" .root) $values.redis.key) }}
{{- end }}
{{- with $values.logs }}
- name: KUDZU_LOG
  value: {{ . | quote }}
{{- end }}
{{- if or $values.ca.existingSecret $values.ca.existingConfigMap }}
- name: SSL_CERT_DIR
  value: /etc/ssl/certs:/etc/kudzu-ca
{{- end }}
{{- if eq .component "coordinator" }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
# Each one passes requests on to the one that runs the job.
- name: KUDZU_API__ADVERTISE
  value: http://{{ ternary "[$(POD_IP)]" "$(POD_IP)" $values.ipv6 }}:8080
{{- if include "kudzu.hasS3Key" .root }}
{{ include "kudzu.env.secret" (list "KUDZU_ARCHIVE__ACCESS_KEY" (include "kudzu.s3Secret" .root) "access-key") }}
{{ include "kudzu.env.secret" (list "KUDZU_ARCHIVE__SECRET_KEY" (include "kudzu.s3Secret" .root) "secret-key") }}
{{- end }}
{{- if $values.devServices.enabled }}
# For kubectl exec: the one who tries it out has no program of their own.
{{ include "kudzu.env.secret" (list "KUDZU_CLIENT__TOKEN" (printf "%s-dev" (include "kudzu.fullname" .root)) "token") }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "kudzu.envFrom" -}}
{{- if include "kudzu.hasSources" . }}
- secretRef:
    name: {{ include "kudzu.sourcesSecret" . | quote }}
{{- end }}
{{- end -}}

{{/* What the pods of coordinators and workers begin anew for. */}}
{{- define "kudzu.checksums" -}}
checksum/config: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum }}
checksum/secrets: {{ include (print .Template.BasePath "/secrets.yaml") . | sha256sum }}
{{- end -}}

{{/* The chart's own volumes, and where they are, likewise. Take a dict: root, component. */}}
{{- define "kudzu.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap:
    name: {{ include "kudzu.fullname" .root }}
- name: tmp
  emptyDir: {}
{{- if $values.files }}
- name: files
  configMap:
    name: {{ include "kudzu.fullname" .root }}-files
{{- end }}
{{- if $values.ca.existingSecret }}
- name: ca
  secret:
    secretName: {{ $values.ca.existingSecret | quote }}
{{- else if $values.ca.existingConfigMap }}
- name: ca
  configMap:
    name: {{ $values.ca.existingConfigMap | quote }}
{{- end }}
{{- if and (eq .component "coordinator") (eq $values.archive.type "claim") }}
- name: archive
  persistentVolumeClaim:
    claimName: {{ include "kudzu.claim" .root | quote }}
{{- end }}
{{- end -}}

{{- define "kudzu.volumeMounts" -}}
- name: config
  mountPath: /etc/kudzu
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .root.Values.files }}
- name: files
  mountPath: /etc/kudzu-files
  readOnly: true
{{- end }}
{{- if or .root.Values.ca.existingSecret .root.Values.ca.existingConfigMap }}
- name: ca
  mountPath: /etc/kudzu-ca
  readOnly: true
{{- end }}
{{- if and (eq .component "coordinator") (eq .root.Values.archive.type "claim") }}
- name: archive
  mountPath: /archive
{{- end }}
{{- end -}}
