{{- define "adit.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, with the chart's unless it holds it. */}}
{{- define "adit.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "adit.name" .) .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "adit.name" .) | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "adit.selector" -}}
app.kubernetes.io/name: {{ include "adit.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "adit.labels" -}}
{{ include "adit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "adit.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "adit.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "adit.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the chart writes, over the user's keys: these are where it mounts and probes. */}}
{{- define "adit.config" -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8150" "certificate" "/etc/adit/tls/tls.crt" "key" "/etc/adit/tls/tls.key")
  "admin" (dict "address" "0.0.0.0:8151")
-}}
{{ mergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}
