{{/*
What types cannot say. Everything that is wrong is told at once, before anything is installed.
*/}}
{{- define "kudzu.check" -}}
{{- $wrong := list -}}
{{- range list "names" "backs" "sets" "extras" "network" "secrets" -}}
{{- $wrong = concat $wrong (fromYamlArray (include (printf "kudzu.check.%s" .) $)) -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "these values cannot be:\n  - %s" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "kudzu.check.names" -}}
{{- $wrong := list -}}
{{- $root := include "kudzu.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $root) -}}
{{- $wrong = append $wrong (printf "the name of the release: %s is none for a Service; write a fullnameOverride of a-z, 0-9 and -, a letter first" $root) -}}
{{- end -}}
{{- if and .Values.serviceAccount.create (eq .Values.serviceAccount.name (printf "%s-bare" $root)) -}}
{{- $wrong = append $wrong (printf "serviceAccount.name: %s is the one of the other pods; write another" .Values.serviceAccount.name) -}}
{{- end -}}
{{- $given := dict "commonLabels" .Values.commonLabels "coordinator.podLabels" .Values.coordinator.podLabels -}}
{{- range $name, $set := fromYaml (include "kudzu.sets" .) }}{{ $_ := set $given (printf "workers.%s.podLabels" $name) $set.podLabels }}{{ end -}}
{{- range list "monitors" "rules" "dashboard" }}{{ $_ := set $given (printf "metrics.%s.labels" .) (get $.Values.metrics .).labels }}{{ end -}}
{{- $own := fromYaml (include "kudzu.ownLabels" (dict "root" . "component" "")) -}}
{{- range $key, $labels := $given -}}
{{- range $label, $_ := $labels -}}
{{- if hasKey $own $label }}{{ $wrong = append $wrong (printf "%s: the label %s is the chart's own" $key $label) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{- define "kudzu.check.backs" -}}
{{- $dev := .Values.devServices.enabled -}}
{{- $wrong := list -}}
{{- if and .Values.broker.existingSecret .Values.broker.url -}}
{{- $wrong = append $wrong "broker: existingSecret and url are two places for one thing, give one of them" -}}
{{- else if not (or $dev .Values.broker.existingSecret .Values.broker.url) -}}
{{- $wrong = append $wrong "broker: there is none; give broker.existingSecret, a Secret whose key \"url\" is amqp://USER:PASSWORD@HOST:PORT/VHOST (devServices.enabled=true brings one to try it out)" -}}
{{- end -}}
{{- if and .Values.redis.existingSecret .Values.redis.url -}}
{{- $wrong = append $wrong "redis: existingSecret and url are two places for one thing, give one of them" -}}
{{- end -}}
{{- if and .Values.sources.existingSecret .Values.sources.env -}}
{{- $wrong = append $wrong "sources: existingSecret and env are two places for one thing, give one of them" -}}
{{- end -}}
{{- if and .Values.ca.existingSecret .Values.ca.existingConfigMap -}}
{{- $wrong = append $wrong "ca: existingSecret and existingConfigMap are two places for one thing, give one of them" -}}
{{- end -}}
{{- if not (or $dev (dig "api" "tokens" (dict) .Values.config)) -}}
{{- $wrong = append $wrong "config.api.tokens: nobody could ask; kudzu token NAME --tenant TENANT makes a token, whose [api.tokens.NAME] belongs here: NAME: {tenant: TENANT, sha256: DIGEST, scopes: [read, submit]}" -}}
{{- end -}}
{{- $archive := .Values.archive -}}
{{- if eq $archive.type "s3" -}}
{{- if not $archive.s3.url -}}
{{- $wrong = append $wrong "archive.s3.url: there is none; write s3://BUCKET/PREFIX" -}}
{{- end -}}
{{- if ne (empty $archive.s3.accessKey) (empty $archive.s3.secretKey) -}}
{{- $wrong = append $wrong "archive.s3: accessKey and secretKey belong together; give both, or existingSecret, or none for the role of the pod" -}}
{{- end -}}
{{- if and $archive.s3.existingSecret $archive.s3.accessKey -}}
{{- $wrong = append $wrong "archive.s3: existingSecret and accessKey are two places for one thing, give one of them" -}}
{{- end -}}
{{- else if and (gt (int .Values.coordinator.replicas) 1) (or (eq $archive.type "memory") (include "kudzu.oneNode" .)) -}}
{{- $wrong = append $wrong "coordinator.replicas: several coordinators share one archive; use archive.type=s3, or a claim with accessModes [ReadWriteMany]" -}}
{{- end -}}
{{- if and (eq $archive.type "memory") (not $dev) -}}
{{- $wrong = append $wrong "archive.type: memory loses every job with its coordinator; it is for devServices alone" -}}
{{- end -}}
{{- if and .Values.coordinator.ingress.enabled (not .Values.coordinator.ingress.host) -}}
{{- $wrong = append $wrong "coordinator.ingress.host: there is none; tokens shall not be sent to whatever name comes" -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{- define "kudzu.check.sets" -}}
{{- $wrong := list -}}
{{- $sets := fromYaml (include "kudzu.sets" .) -}}
{{- if not $sets -}}
{{- $wrong = append $wrong "workers: there is no set, and nobody would look anything up" -}}
{{- end -}}
{{- range $class := list "dns" "http" "local" -}}
{{- $scaled := list -}}
{{- range $name := keys $sets | sortAlpha -}}
{{- $set := get $sets $name -}}
{{- if and (eq $set.autoscaling.mode "keda") (has $class (default (list) $set.classes)) }}{{ $scaled = append $scaled $name }}{{ end -}}
{{- end -}}
{{- if gt (len $scaled) 1 -}}
{{- $wrong = append $wrong (printf "workers: KEDA scales several sets by the class %s (%s), and each would grow for all that waits; give it to one of them, or the others another mode" $class (join ", " $scaled)) -}}
{{- end -}}
{{- if and (eq $class "dns") (not $.Values.devServices.enabled) (not (include "kudzu.hasResolvers" $)) -}}
{{- $dns := false -}}
{{- range $sets }}{{ if has "dns" (default (list) .classes) }}{{ $dns = true }}{{ end }}{{ end -}}
{{- if $dns -}}
{{- $wrong = append $wrong "config.dns.resolvers: there are none, and the DNS of the cluster is not for this: it would be overrun, and knows names inside; write resolvers: [\"ADDRESS\"] that you may ask so much, or encrypted: [\"tls://NAME@ADDRESS\"]" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $set := $sets -}}
{{- $key := printf "workers.%s" $name -}}
{{- $auto := $set.autoscaling -}}
{{- if not $set.classes -}}
{{- $wrong = append $wrong (printf "%s.classes: there is none; write some of dns, http, local" $key) -}}
{{- end -}}
{{- if ne $auto.mode "none" -}}
{{- if lt (int $auto.maxReplicas) (int $auto.minReplicas) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling: maxReplicas %d is below minReplicas %d" $key (int $auto.maxReplicas) (int $auto.minReplicas)) -}}
{{- end -}}
{{- if and (eq $auto.mode "hpa") (lt (int $auto.minReplicas) 1) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.minReplicas: an HPA keeps 1 at least; keda goes down to 0" $key) -}}
{{- end -}}
{{- if and (eq $auto.mode "hpa") (eq $auto.hpa.metric "cpu") (not (dig "requests" "cpu" "" $set.resources)) -}}
{{- $wrong = append $wrong (printf "%s.resources.requests.cpu: there is none, and the HPA counts in shares of it" $key) -}}
{{- end -}}
{{- $queue := $auto.keda.queue -}}
{{- if and (eq $auto.mode "keda") (eq $auto.keda.signal "queue") (eq $queue.protocol "http") $.Values.broker.url (not $queue.existingSecret) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.keda.queue.existingSecret: there is none, and broker.url is not that of the management API; name a Secret whose key %s is http://USER:PASSWORD@HOST:15672/VHOST" $key $queue.key) -}}
{{- end -}}
{{- if and (eq $auto.mode "hpa") (eq $auto.hpa.metric "external") (not $auto.hpa.external.name) -}}
{{- $wrong = append $wrong (printf "%s.autoscaling.hpa.external.name: which metric?" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{/* Of two with one name a server-side apply takes none. */}}
{{- define "kudzu.check.extras" -}}
{{- $wrong := list -}}
{{- $roles := list (dict "key" "coordinator" "component" "coordinator" "own" .Values.coordinator) -}}
{{- range $name, $set := fromYaml (include "kudzu.sets" .) -}}
{{- $roles = append $roles (dict "key" (printf "workers.%s" $name) "component" (printf "worker-%s" $name) "own" $set) -}}
{{- end -}}
{{- range $role := $roles -}}
{{- $scope := dict "root" $ "component" $role.component -}}
{{- range list (list "extraEnv" "name" "kudzu.env") (list "extraVolumes" "name" "kudzu.volumes") (list "extraVolumeMounts" "mountPath" "kudzu.volumeMounts") -}}
{{- $list := index . 0 -}}
{{- $field := index . 1 -}}
{{- $chart := list -}}
{{- range fromYamlArray (include (index . 2) $scope) }}{{ $chart = append $chart (get . $field) }}{{ end -}}
{{- $seen := list -}}
{{- range get $role.own $list -}}
{{- $name := get . $field -}}
{{- if has $name $chart }}{{ $wrong = append $wrong (printf "%s.%s: %s is set by the chart" $role.key $list $name) }}{{ end -}}
{{- if has $name $seen }}{{ $wrong = append $wrong (printf "%s.%s: %s comes twice" $role.key $list $name) }}{{ end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{/* null takes a default out, and what is left of a rule would allow everything. */}}
{{- define "kudzu.check.network" -}}
{{- $wrong := list -}}
{{- $net := .Values.networkPolicy -}}
{{- if $net.enabled -}}
{{- range list "dnsTo" "brokerTo" "redisTo" "otlpTo" "archiveTo" -}}
{{- if not (get $net .) }}{{ $wrong = append $wrong (printf "networkPolicy.%s: nobody is named, which would be everybody; write who it is" .) }}{{ end -}}
{{- end -}}
{{- range list "dnsPorts" "brokerPorts" "redisPorts" "archivePorts" -}}
{{- if not (get $net .) }}{{ $wrong = append $wrong (printf "networkPolicy.%s: there is none, which would be every port; write which" .) }}{{ end -}}
{{- end -}}
{{- range list "apiFrom" "metricsFrom" "kedaFrom" "publicPorts" "closed4" "closed6" -}}
{{- if not (kindIs "slice" (get $net .)) }}{{ $wrong = append $wrong (printf "networkPolicy.%s: write [] for none" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{/*
Secrets that are named and not there: else pods would wait for them without a word. Looked up
only where there is a cluster to ask, which helm template has not; every namespace has a service
account "default".
*/}}
{{- define "kudzu.check.secrets" -}}
{{- $wrong := list -}}
{{- $namespace := .Release.Namespace -}}
{{- if and .Values.checkSecrets (lookup "v1" "ServiceAccount" $namespace "default") -}}
{{- $named := list -}}
{{- with .Values.broker.existingSecret }}{{ $named = append $named (list "broker" . (list $.Values.broker.key)) }}{{ end -}}
{{- with .Values.redis.existingSecret }}{{ $named = append $named (list "redis" . (list $.Values.redis.key)) }}{{ end -}}
{{- with .Values.sources.existingSecret }}{{ $named = append $named (list "sources" . (list)) }}{{ end -}}
{{- with .Values.ca.existingSecret }}{{ $named = append $named (list "ca" . (list)) }}{{ end -}}
{{- with .Values.test.existingSecret }}{{ $named = append $named (list "test" . (list $.Values.test.key)) }}{{ end -}}
{{- range $set, $own := fromYaml (include "kudzu.sets" .) -}}
{{- $keda := $own.autoscaling.keda -}}
{{- if and (eq $own.autoscaling.mode "keda") (eq $keda.signal "queue") (eq $keda.queue.protocol "http") -}}
{{- with default $.Values.broker.existingSecret $keda.queue.existingSecret }}{{ $named = append $named (list (printf "workers.%s.autoscaling.keda.queue" $set) . (list $keda.queue.key)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.archive.type "s3" -}}
{{- with .Values.archive.s3.existingSecret }}{{ $named = append $named (list "archive.s3" . (list "access-key" "secret-key")) }}{{ end -}}
{{- end -}}
{{- range $named -}}
{{- $key := index . 0 -}}
{{- $name := index . 1 -}}
{{- $there := lookup "v1" "Secret" $namespace $name -}}
{{- if not $there -}}
{{- $wrong = append $wrong (printf "%s.existingSecret: there is no Secret %s in namespace %s" $key $name $namespace) -}}
{{- else -}}
{{- range $field := index . 2 -}}
{{- if not (hasKey (default (dict) $there.data) $field) -}}
{{- $wrong = append $wrong (printf "%s.existingSecret: the Secret %s has no key %s" $key $name $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}
