{{- define "adit.adminPort" -}}
8151
{{- end }}

{{- define "adit.gitlabApiPort" -}}
8153
{{- end }}

{{/* Seconds in which it has drained, the keys that say so, and seconds beyond: to write down what it did, and to hang up. */}}
{{- define "adit.endsWithin" -}}
{{- $grace := (.Values.config.drain | default dict).grace | default "5m" -}}
{{ add (include "adit.seconds" (dict "key" "config.drain.grace" "value" $grace) | int) (.Values.preStopSeconds | default 0 | int) }}
{{- end }}
{{- define "adit.endsBy" -}}
config.drain.grace and preStopSeconds
{{- end }}
{{- define "adit.spareSeconds" -}}
15
{{- end }}

{{/* Empty unless TLS ends before the relay, which then shows no certificate on its public port. */}}
{{- define "adit.tlsEndedBefore" -}}
{{- if (.Values.config.listen | default dict).tls_ended_before }}yes{{ end }}
{{- end }}

{{/* Empty unless the private port has a certificate. */}}
{{- define "adit.adminTls" -}}
{{- if (.Values.config.admin | default dict).certificate }}yes{{ end }}
{{- end }}

{{/* Behind a probe's port. */}}
{{- define "adit.probeScheme" -}}
{{- if include "adit.adminTls" . }}, scheme: HTTPS{{ end }}
{{- end }}

{{/* What whoever scrapes metrics must be told beside the port. */}}
{{- define "adit.scrapeTls" -}}
{{- if include "adit.adminTls" . -}}
scheme: https
{{- with .Values.scrapeTlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Empty unless the certificate of `tls.secretName` is shown on some port. */}}
{{- define "adit.showsCertificate" -}}
{{- $forGitlab := and (hasKey .Values.config "gitlab_api") (not (.Values.config.gitlab_api | default dict).certificate) }}
{{- $forAdmin := (.Values.config.admin | default dict).certificate | default "" | hasPrefix "/etc/adit/tls/" }}
{{- if or (not (include "adit.tlsEndedBefore" .)) $forGitlab $forAdmin }}yes{{ end }}
{{- end }}

{{/* Files of the pod, or whole folders, beside those of `extraVolumeMounts`. */}}
{{- define "adit.mounts" -}}
/etc/adit/config/relay.yaml
{{- if include "adit.showsCertificate" . }} /etc/adit/tls/tls.crt /etc/adit/tls/tls.key /etc/adit/tls/ca.crt{{ end }}
{{- if .Values.clientCa.configMapName }} /etc/adit/client-ca/ca.crt{{ end }}
{{- end }}

{{/* The values by which there are more. */}}
{{- define "adit.broughtBy" -}}
/etc/adit/client-ca/ca.crt: clientCa.configMapName
{{- end }}

{{/* Empty unless there is a Service. */}}
{{- define "adit.hasService" -}}
yes
{{- end }}

{{- define "adit.mistakes" -}}
{{- if and .Values.clientCa.configMapName (.Values.config.tunnel | default dict).client_ca_file -}}
{{ printf "clientCa.configMapName, config.tunnel.client_ca_file: both say who issues to agents: leave one out\n" }}
{{- end -}}
{{- if and .Values.clientCa.configMapName (include "adit.tlsEndedBefore" .) -}}
{{ printf "clientCa.configMapName: where TLS ends before the relay (config.listen.tls_ended_before), it does not see what an agent shows: leave one of both out\n" }}
{{- end -}}
{{- if gt (int .Values.replicas) 1 -}}
{{ printf "replicas: %d relays would not know of each other's agents, and a request that comes to another one than its agent is told that there is none: run one, with more cores (resources, config.shards), or a release with an address of its own for each set of agents\n" (int .Values.replicas) }}
{{- end -}}
{{- $service := .Values.service -}}
{{- if and $service.nodePort (eq $service.type "ClusterIP") -}}
{{ printf "service.nodePort: a ClusterIP has none: make service.type NodePort or LoadBalancer, or leave it out\n" }}
{{- end -}}
{{- if and (or $service.loadBalancerClass $service.loadBalancerSourceRanges) (ne $service.type "LoadBalancer") -}}
{{ printf "service.loadBalancerClass, service.loadBalancerSourceRanges: service.type is %s: make it LoadBalancer, or leave them out\n" $service.type }}
{{- end -}}
{{- $wait := (.Values.config.route | default dict).wait | default "2s" -}}
{{- $overlaps := and (gt (int .Values.preStopSeconds) 0) (ne ((.Values.strategy | default dict).type | default "") "Recreate") -}}
{{- if and $overlaps (ge (int .Values.preStopSeconds) (include "adit.seconds" (dict "key" "config.route.wait" "value" $wait) | int)) -}}
{{ printf "preStopSeconds: %d is too long: in a rollout the new pod is asked meanwhile, and waits for its agents no longer than config.route.wait, %s: make it less than that, or that longer\n" (int .Values.preStopSeconds) $wait }}
{{- end -}}
{{- $audit := .Values.config.audit | default dict -}}
{{- if and (eq ($audit.to | default "") "file") $audit.file .Values.securityContext.readOnlyRootFilesystem -}}
{{- $folder := printf "%s/" (dir $audit.file | trimSuffix "/") -}}
{{- $has := false -}}
{{- range .Values.extraVolumeMounts -}}
{{- if and (not .readOnly) (hasPrefix (printf "%s/" (.mountPath | default "" | trimSuffix "/")) $folder) -}}
{{- $has = true -}}
{{- end -}}
{{- end -}}
{{- if not $has -}}
{{ printf "config.audit.file: the pod cannot write to %s: mount a volume there by extraVolumes and extraVolumeMounts, or set config.audit.to to stdout or otlp\n" $folder }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The ports of what it dials by its configuration, beside those that are given. */}}
{{- define "adit.dials" -}}
{{- $authorities := .Values.config.authorities | default dict -}}
{{- $ports := .Values.networkPolicy.issuerPorts | default list -}}
{{- range ($authorities.oidc | default dict).issuers -}}
{{- if not .jwks_file -}}
{{- $ports = append $ports (include "adit.port" (dict "url" (.jwks_url | default .url | default ""))) -}}
{{- end -}}
{{- end -}}
{{- with ($authorities.gitlab | default dict).url -}}
{{- $ports = append $ports (include "adit.port" (dict "url" .)) -}}
{{- end -}}
{{- range list (.Values.config.traces | default dict).endpoint ((.Values.config.audit | default dict).otlp | default dict).endpoint -}}
{{- if . -}}
{{- $ports = append $ports (include "adit.port" (dict "url" . "default" 4317)) -}}
{{- end -}}
{{- end -}}
{{ $ports | toStrings | uniq | join " " }}
{{- end }}

{{/* What the chart writes, over the user's keys: these are where it mounts and probes. */}}
{{- define "adit.config" -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8150")
  "admin" (dict "address" (printf "0.0.0.0:%s" (include "adit.adminPort" .)))
-}}
{{- if not (include "adit.tlsEndedBefore" .) }}
{{- $_ := set $own "listen" (merge $own.listen (dict "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key")) }}
{{- end }}
{{- $config := deepCopy .Values.config }}
{{- if hasKey $config "gitlab_api" }}
{{- $shown := dict "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key" }}
{{- $address := dict "address" (printf "0.0.0.0:%s" (include "adit.gitlabApiPort" .)) }}
{{- $_ := set $config "gitlab_api" (mergeOverwrite $shown $config.gitlab_api $address) }}
{{- end }}
{{- if .Values.clientCa.configMapName }}
{{- $_ := set $own "tunnel" (dict "client_ca_file" "/etc/adit/client-ca/ca.crt") }}
{{- end }}
{{ mergeOverwrite $config $own | toYaml }}
{{- end }}
