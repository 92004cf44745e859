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
