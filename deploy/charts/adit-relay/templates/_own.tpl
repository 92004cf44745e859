{{- define "adit.adminPort" -}}
8151
{{- end }}

{{- define "adit.gitlabApiPort" -}}
8153
{{- end }}

{{/* What the chart writes, over the user's keys: these are where it mounts and probes. */}}
{{- define "adit.config" -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8150" "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key")
  "admin" (dict "address" (printf "0.0.0.0:%s" (include "adit.adminPort" .)))
-}}
{{- $config := deepCopy .Values.config }}
{{- if hasKey $config "gitlab_api" }}
{{- $shown := dict "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key" }}
{{- $address := dict "address" (printf "0.0.0.0:%s" (include "adit.gitlabApiPort" .)) }}
{{- $_ := set $config "gitlab_api" (mergeOverwrite $shown $config.gitlab_api $address) }}
{{- end }}
{{ mergeOverwrite $config $own | toYaml }}
{{- end }}
