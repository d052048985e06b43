{{/* How long a coordinator or a worker takes at most to end: DRAIN in the code of both. */}}
{{- define "kudzu.drain" -}}20{{- end -}}

{{/* Grace: what the hook waits, the drain, and 10 s for what comes after it. Takes the hook's seconds. */}}
{{- define "kudzu.grace" -}}
{{- add (int .) (int (include "kudzu.drain" nil)) 10 -}}
{{- end -}}

{{/* Passes the Pod Security Standard "restricted". */}}
{{- define "kudzu.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .user }}
runAsGroup: {{ int64 .group }}
fsGroup: {{ int64 .group }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- define "kudzu.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/*
The start of every pod. Service links would be read as settings: KUDZU_REDIS_PORT. Takes a dict:
root, component.
*/}}
{{- define "kudzu.podStart" -}}
serviceAccountName: {{ include "kudzu.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where pods go. Takes a dict: root, component, pod (the values of the role). */}}
{{- define "kudzu.placement" -}}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .pod.topologySpreadConstraints }}
  {{- toYaml .pod.topologySpreadConstraints | nindent 2 }}
{{- else }}
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    # Pods of one revision: else those that end count too.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "kudzu.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Whether alive does not depend on the broker, whether ready does. Takes the port's name. */}}
{{- define "kudzu.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: {{ . }}
  periodSeconds: 2
  # A worker tries its resolvers before it listens.
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ . }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ . }}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}
