{{- define "adit.adminPort" -}}
8152
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
  "admin" (dict "address" (printf "0.0.0.0:%s" (include "adit.adminPort" .)))
-}}
{{- with .Values.flux.gitlabUrl -}}
{{- $flux := dict
  "gitlab_url" .
  "namespaces" $.Values.flux.namespaces
  "lease_name" (printf "%s-flux" (include "adit.fullname" $))
  "lease_namespace" $.Release.Namespace
-}}
{{- with $.Values.flux.webhookReceiverUrl -}}
{{- $_ := set $flux "webhook_receiver_url" . -}}
{{- end -}}
{{- $_ := set $config "flux" $flux -}}
{{- end -}}
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
