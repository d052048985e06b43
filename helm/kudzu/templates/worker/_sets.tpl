{{/*
The sets of workers as YAML, each on top of workerDefaults. Lists are replaced, but extraEnv, which
is merged by name. Read with fromYaml.
*/}}
{{- define "kudzu.sets" -}}
{{- $sets := dict -}}
{{- range $name, $given := .Values.workers -}}
{{- if not (kindIs "invalid" $given) -}}
{{- $set := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy $given) -}}
{{- $env := list -}}
{{- $names := list -}}
{{- range default (list) $given.extraEnv }}{{ $names = append $names .name }}{{ end -}}
{{- range default (list) $.Values.workerDefaults.extraEnv -}}
{{- if not (has .name $names) }}{{ $env = append $env . }}{{ end -}}
{{- end -}}
{{- $_ := set $set "extraEnv" (concat $env (default (list) $given.extraEnv)) -}}
{{- $_ := set $sets $name $set -}}
{{- end -}}
{{- end -}}
{{- toYaml $sets -}}
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
  stabilizationWindowSeconds: {{ int64 .scaleDownSeconds }}
  policies:
    - type: Percent
      value: 50
      periodSeconds: 30
{{- end -}}
{{- end -}}
