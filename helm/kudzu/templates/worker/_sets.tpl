{{/*
The sets of workers as YAML, each on top of workerDefaults, with its own name in it. Lists are
replaced. Read with fromYaml.
*/}}
{{- define "kudzu.sets" -}}
{{- $sets := dict -}}
{{- range $name, $given := .Values.workers -}}
{{- if not (kindIs "invalid" $given) -}}
{{- $set := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy $given) -}}
{{- $_ := set $sets $name $set -}}
{{- end -}}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}

{{/* The fewest pods of a set. */}}
{{- define "kudzu.fewest" -}}
{{- if eq .autoscaling.mode "none" }}{{ .replicas }}{{ else }}{{ .autoscaling.minReplicas }}{{ end -}}
{{- end -}}

{{/* How fast a set grows and shrinks; any pod may be the one that goes. */}}
{{- define "kudzu.behavior" -}}
{{- if .behavior -}}
{{- toYaml .behavior -}}
{{- else -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - type: Percent
      value: 100
      periodSeconds: 15
    - type: Pods
      value: 4
      periodSeconds: 15
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownSeconds }}
  policies:
    - type: Percent
      value: 50
      periodSeconds: 30
{{- end -}}
{{- end -}}
