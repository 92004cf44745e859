{{- define "adit.adminPort" -}}
8151
{{- end }}

{{/* What the chart writes, over the user's keys: these are where it mounts and probes. */}}
{{- define "adit.config" -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8150" "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key")
  "admin" (dict "address" (printf "0.0.0.0:%s" (include "adit.adminPort" .)))
-}}
{{ mergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}
