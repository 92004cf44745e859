{{/* The same in both charts, as are the files that a test lists (crates/adit/tests/deploy.rs). */}}
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

{{/* Whole seconds of a duration, rounded up, by its `key` and `value`. */}}
{{- define "adit.seconds" -}}
{{- $value := toString .value -}}
{{- if not (regexMatch "^[0-9]+(ms|s|m|h|d)$" $value) -}}
{{- fail (printf "%s: a duration is a whole number and a unit, such as 30s or 5m, and not %s" .key $value) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $value | atoi -}}
{{- if hasSuffix "ms" $value -}}
{{ div (add $number 999) 1000 }}
{{- else -}}
{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[a-z]$" $value)) }}
{{- end -}}
{{- end }}

{{/* How long Kubernetes waits before it kills what still drains. */}}
{{- define "adit.terminationGracePeriodSeconds" -}}
{{- $least := include "adit.endsWithin" . | int -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{ add $least (include "adit.spareSeconds" . | int) }}
{{- else if lt (int $given) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too few, a pod would be killed while it drains: %s may take %d s; make one longer or the other shorter, or leave it out" (int $given) (include "adit.endsBy" .) $least) -}}
{{- else -}}
{{ int $given }}
{{- end -}}
{{- end }}

{{/* Of a pod: what is not its own container. */}}
{{- define "adit.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- with .Values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "adit.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
  {{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
