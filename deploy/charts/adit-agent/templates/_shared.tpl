{{/* The same in both charts, as are the files that a test lists (crates/adit/tests/deploy.rs). */}}
{{- define "adit.name" -}}
{{ .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* The release's name, with the chart's unless it holds it. */}}
{{/* Services have up to eight letters more, `-metrics`, and a name of theirs has 63. */}}
{{- define "adit.fullname" -}}
{{- $name := include "adit.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name }}
{{- else -}}
{{ regexReplaceAll "-+$" (printf "%s-%s" .Release.Name $name | trunc 55) "" }}
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

{{/* The port of a `url`, or what it is without one. */}}
{{- define "adit.port" -}}
{{- $host := regexFind "^[^/]+://[^/?#]*" .url -}}
{{ regexFind ":[0-9]+$" $host | trimPrefix ":" | default (.default | default (ternary 80 443 (hasPrefix "http:" $host))) }}
{{- end }}

{{/* The files that a section names, `at` a key: a line for each, key and file. */}}
{{- define "adit.files" -}}
{{- $section := .section -}}
{{- range $key, $value := $section -}}
{{- $at := printf "%s.%s" $.at $key -}}
{{- if kindIs "map" $value -}}
{{ include "adit.files" (dict "at" $at "section" $value) }}
{{- else if kindIs "slice" $value -}}
{{- range $index, $each := $value -}}
{{- if kindIs "map" $each -}}
{{ include "adit.files" (dict "at" (printf "%s[%d]" $at $index) "section" $each) }}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "string" $value) (or (hasSuffix "_file" $key) (hasSuffix "certificate" $key) (eq $key "client_key") (eq $key "kubeconfig") (and (eq $key "key") (hasKey $section "certificate"))) -}}
{{ printf "%s %s\n" $at $value }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Those of them that no volume of the pod is known to have, and adit's image neither. */}}
{{- define "adit.missingFiles" -}}
{{- $folders := concat (include "adit.mounts" . | splitList " ") (list "/etc/ssl" "/etc/pki" "/usr") -}}
{{- range .Values.extraVolumeMounts -}}
{{- $folders = append $folders (.mountPath | default "" | trimSuffix "/") -}}
{{- end -}}
{{- if .Values.checkFiles -}}
{{- range include "adit.files" (dict "at" "config" "section" (include "adit.config" . | fromYaml)) | trim | splitList "\n" -}}
{{- if . -}}
{{- $file := regexReplaceAll "^[^ ]+ " . "" -}}
{{- $has := false -}}
{{- range $folders -}}
{{- if and . (hasPrefix (printf "%s/" .) (printf "%s/" $file)) -}}
{{- $has = true -}}
{{- end -}}
{{- end -}}
{{- if not $has -}}
{{- $value := get (include "adit.broughtBy" $ | fromYaml) $file -}}
{{ printf "%s: the pod is not known to have %s: %smount the Secret or ConfigMap that has it by extraVolumes and extraVolumeMounts, or set checkFiles to false if the image, a webhook or another key of a Secret brings it\n" (splitList " " . | first) $file (ternary (printf "set %s, or " $value) "" (ne $value "")) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Values that a schema cannot hold against each other: all that is wrong, at once. */}}
{{- define "adit.check" -}}
{{- $mistakes := printf "%s%s" (include "adit.mistakes" .) (include "adit.missingFiles" .) -}}
{{- $name := include "adit.fullname" . -}}
{{- if and (include "adit.hasService" .) (not (regexMatch "^[a-z][a-z0-9-]*$" $name)) -}}
{{- $by := ternary "fullnameOverride" "the release's name" (ne (.Values.fullnameOverride | default "") "") -}}
{{- $mistakes = printf "%s%s: a Service would be called %s, and its name begins with a letter and has no dots: set fullnameOverride to such a one\n" $mistakes $by $name -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- $mistakes = printf "%spodMonitor.enabled, serviceMonitor.enabled: each pod would be scraped twice: enable one of the two\n" $mistakes -}}
{{- end -}}
{{- with $mistakes | trim -}}
{{- fail . -}}
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
