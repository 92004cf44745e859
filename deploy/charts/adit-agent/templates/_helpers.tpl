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

{{/* The relay's port, by its URL. */}}
{{- define "adit.relayPort" -}}
{{ regexFind ":[0-9]+$" (urlParse .Values.relay.url).host | trimPrefix ":" | default "443" }}
{{- end }}

{{/* What the chart writes, with the user's keys over it. */}}
{{- define "adit.config" -}}
{{- $relay := dict "url" .Values.relay.url "token_file" "/etc/adit/token/token" -}}
{{- if .Values.relay.ca -}}
{{- $_ := set $relay "ca_file" "/etc/adit/config/ca.pem" -}}
{{- end -}}
{{- $config := dict
  "relay" $relay
  "kubernetes" (dict "max_connections" 64 "max_upgrades" 250)
  "limits" (dict "max_streams" 2000)
  "ceiling" (pick .Values.ceiling "agent" "users" "groups")
  "admin" (dict "address" "0.0.0.0:8152")
-}}
{{ mergeOverwrite $config (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* Rules with their verbs as they are called in constrained impersonation. */}}
{{- define "adit.rules" -}}
{{- range . }}
- {{- with .apiGroups }}
  apiGroups: {{ toJson . }}
  {{- end }}
  {{- with .resources }}
  resources: {{ toJson . }}
  {{- end }}
  {{- with .resourceNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  {{- with .nonResourceURLs }}
  nonResourceURLs: {{ toJson . }}
  {{- end }}
  verbs:
    {{- range .verbs }}
    - impersonate-on:user-info:{{ . }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "adit.subjects" -}}
- kind: ServiceAccount
  name: {{ include "adit.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
