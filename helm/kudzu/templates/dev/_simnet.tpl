{{/*
The simulated internet, in each worker's pod: the same seed makes the same world, so all of them
answer alike, at the same addresses.
*/}}
{{- define "kudzu.simnet.sidecar" -}}
{{- $simnet := .Values.devServices.simnet -}}
- name: simnet
  image: {{ include "kudzu.image" (dict "registry" .Values.image.registry "image" .Values.image "tag" .Chart.AppVersion) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  # A sidecar: begins before the worker, ends after it.
  restartPolicy: Always
  args:
    - simnet
    - --seed={{ int64 $simnet.seed }}
    - --scale={{ $simnet.scale }}
    - --latency={{ int64 $simnet.latencyMs }}
    - --dns-port=15353
    - --rdap-port=18081
    - --pdns-port=18082
    - --certs-port=18083
  startupProbe:
    exec:
      # It listens on loopback alone.
      command:
        - kudzu
        - resolve
        - --own
        - --no-check
        - --resolver=127.0.0.1:15353
        - --attempts=1
        - --timeout=1s
        - /etc/kudzu/simnet-names
    timeoutSeconds: 5
    periodSeconds: 1
    failureThreshold: 60
  securityContext:
    {{- include "kudzu.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml $simnet.resources | nindent 4 }}
  volumeMounts:
    - name: config
      mountPath: /etc/kudzu
      readOnly: true
    - name: tmp
      mountPath: /tmp
{{- end -}}

{{/* As kudzu simnet --config-out writes them. */}}
{{- define "kudzu.simnet.settings" -}}
dns: {resolvers: ["127.0.0.1:15353"], own: true, check: false}
rdap: {bootstrap: "http://127.0.0.1:18081/bootstrap/", allow_private: true, rate: inf, in_flight: 2048}
pdns: {url: "http://127.0.0.1:18082/pdns/query/", allow_private: true, rate: inf, in_flight: 2048}
certs: {url: "http://127.0.0.1:18083/", allow_private: true, rate: inf, in_flight: 2048}
worker: {http_lookups: 2048}
{{- end -}}
