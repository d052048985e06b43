{{/*
Whom a pod may reach, as lists of egress rules. What the workers' own guard refuses after
resolution (special_ip) is refused here once more, for whatever runs in their place.
*/}}
{{- define "kudzu.net.dns" -}}
# Name resolution in the cluster.
- to:
    {{- toYaml .Values.networkPolicy.dnsTo | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- define "kudzu.net.broker" -}}
- to:
    {{- if include "kudzu.devRabbit" . }}
    - podSelector:
        matchLabels:
          {{- include "kudzu.selector" (dict "root" . "component" "rabbitmq") | nindent 10 }}
    {{- else }}
    {{- toYaml .Values.networkPolicy.brokerTo | nindent 4 }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.brokerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- define "kudzu.net.redis" -}}
{{- if include "kudzu.hasRedis" . }}
- to:
    {{- if include "kudzu.devRedis" . }}
    - podSelector:
        matchLabels:
          {{- include "kudzu.selector" (dict "root" . "component" "redis") | nindent 10 }}
    {{- else }}
    {{- toYaml .Values.networkPolicy.redisTo | nindent 4 }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.redisPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "kudzu.net.otlp" -}}
{{- with dig "telemetry" "otlp" "" .Values.config }}
{{- /* Without the colons of an IPv6 address. */}}
{{- $host := regexReplaceAll "^\\[[^\\]]*\\]" (first (splitList "/" (regexReplaceAll "^https?://" . ""))) "" }}
# The collector of traces.
- to:
    {{- toYaml $.Values.networkPolicy.otlpTo | nindent 4 }}
  ports:
    - {port: {{ regexFind ":[0-9]+$" $host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https" .)) }}, protocol: TCP}
{{- end }}
{{- end -}}

{{/* The public internet. Takes a dict: root, and ports as rules have them. */}}
{{- define "kudzu.net.public" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- range concat (splitList " " (include "kudzu.net.special4" .root)) .root.Values.networkPolicy.closed4 }}
          - {{ . }}
          {{- end }}
    - ipBlock:
        cidr: ::/0
        except:
          {{- range concat (splitList " " (include "kudzu.net.special6" .root)) .root.Values.networkPolicy.closed6 }}
          - {{ . }}
          {{- end }}
  ports:
    {{- .ports | nindent 4 }}
{{- end -}}

{{/*
As shared/src/observable/special.rs has them; a test compares. Not ::ffff:0:0/96: no packet goes
there, and the API server may refuse it.
*/}}
{{- define "kudzu.net.special4" -}}
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
{{- end -}}
{{- define "kudzu.net.special6" -}}
::/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
{{- end -}}

{{/* Resolvers of the settings, wherever they are. */}}
{{- define "kudzu.net.resolvers" -}}
{{- range dig "dns" "resolvers" (list) .Values.config }}
{{- $host := . }}
{{- $port := "53" }}
{{- if regexMatch "^[0-9.]+:[0-9]+$" . }}
{{- $host = first (splitList ":" .) }}
{{- $port = last (splitList ":" .) }}
{{- else if hasPrefix "[" . }}
{{- $host = regexReplaceAll "^\\[([^\\]]+)\\].*$" . "${1}" }}
{{- $port = regexFind "[0-9]+$" (regexReplaceAll "^[^\\]]+\\]" . "") | default "53" }}
{{- end }}
- to:
    - ipBlock:
        cidr: {{ $host }}/{{ ternary "128" "32" (contains ":" $host) }}
  ports:
    - {port: {{ $port }}, protocol: UDP}
    - {port: {{ $port }}, protocol: TCP}
{{- end }}
{{- end -}}
