{{- define "adit.adminPort" -}}
8152
{{- end }}

{{/* Its port speaks plain HTTP. */}}
{{- define "adit.scrapeTls" -}}
{{- end }}

{{/* Seconds in which it has drained, the keys that say so, and seconds beyond. */}}
{{- define "adit.endsWithin" -}}
{{ include "adit.seconds" (dict "key" "config.drain_grace" "value" (.Values.config.drain_grace | default "25s")) }}
{{- end }}
{{- define "adit.endsBy" -}}
config.drain_grace
{{- end }}
{{- define "adit.spareSeconds" -}}
5
{{- end }}

{{/* The relay's port, by its URL. */}}
{{- define "adit.relayPort" -}}
{{ include "adit.port" (dict "url" .Values.relay.url) }}
{{- end }}

{{/* The ports of what it dials by its configuration, beside those that are given. */}}
{{- define "adit.dials" -}}
{{- $ports := append (.Values.networkPolicy.apiServerPorts | default list) (include "adit.relayPort" .) -}}
{{- $proxy := (.Values.config.relay | default dict).proxy | default "none" | trim -}}
{{- if ne $proxy "none" -}}
{{- $ports = append $ports (include "adit.port" (dict "url" (ternary $proxy (printf "http://%s" $proxy) (contains "://" $proxy)))) -}}
{{- end -}}
{{- with (.Values.config.traces | default dict).endpoint -}}
{{- $ports = append $ports (include "adit.port" (dict "url" . "default" 4317)) -}}
{{- end -}}
{{ $ports | toStrings | uniq | join " " }}
{{- end }}

{{/* Files of the pod, or whole folders, beside those of `extraVolumeMounts`. */}}
{{- define "adit.mounts" -}}
/etc/adit/config/agent.yaml
{{- if .Values.relay.ca }} /etc/adit/config/ca.pem{{ end }} /etc/adit/token{{ if ne .Values.token.key "token" }}/token{{ end }}
{{- range list "token" "ca.crt" "namespace" }} /var/run/secrets/kubernetes.io/serviceaccount/{{ . }}{{ end }}
{{- if .Values.relay.clientCertificate.secretName }} /etc/adit/client/tls.crt /etc/adit/client/tls.key /etc/adit/client/ca.crt{{ end }}
{{- end }}

{{/* The values by which there are more. */}}
{{- define "adit.broughtBy" -}}
/etc/adit/config/ca.pem: relay.ca
/etc/adit/client/tls.crt: relay.clientCertificate.secretName
/etc/adit/client/tls.key: relay.clientCertificate.secretName
/etc/adit/client/ca.crt: relay.clientCertificate.secretName
{{- end }}

{{/* What a role that is bound in a namespace never gives. A namespace itself it does. `adit manifests` has the same list, as a test sees. */}}
{{- define "adit.outsideNamespaces" -}}
componentstatuses nodes persistentvolumes
mutatingadmissionpolicies.admissionregistration.k8s.io mutatingadmissionpolicybindings.admissionregistration.k8s.io
mutatingwebhookconfigurations.admissionregistration.k8s.io validatingadmissionpolicies.admissionregistration.k8s.io
validatingadmissionpolicybindings.admissionregistration.k8s.io validatingwebhookconfigurations.admissionregistration.k8s.io
customresourcedefinitions.apiextensions.k8s.io apiservices.apiregistration.k8s.io
selfsubjectreviews.authentication.k8s.io tokenreviews.authentication.k8s.io
selfsubjectaccessreviews.authorization.k8s.io selfsubjectrulesreviews.authorization.k8s.io subjectaccessreviews.authorization.k8s.io
certificatesigningrequests.certificates.k8s.io clustertrustbundles.certificates.k8s.io
flowschemas.flowcontrol.apiserver.k8s.io prioritylevelconfigurations.flowcontrol.apiserver.k8s.io
gatewayclasses.gateway.networking.k8s.io nodes.metrics.k8s.io
ingressclasses.networking.k8s.io ipaddresses.networking.k8s.io servicecidrs.networking.k8s.io
runtimeclasses.node.k8s.io
clusterrolebindings.rbac.authorization.k8s.io clusterroles.rbac.authorization.k8s.io
deviceclasses.resource.k8s.io resourceslices.resource.k8s.io
priorityclasses.scheduling.k8s.io
csidrivers.storage.k8s.io csinodes.storage.k8s.io storageclasses.storage.k8s.io volumeattachments.storage.k8s.io
volumeattributesclasses.storage.k8s.io
{{- end }}

{{/* Empty unless there is a Service. */}}
{{- define "adit.hasService" -}}
{{ if .Values.serviceMonitor.enabled }}yes{{ end }}
{{- end }}

{{/* What the group without a name has, and other names of what is known, by which a role never gives it. `adit manifests` has the same. */}}
{{- define "adit.core" -}}
bindings componentstatuses configmaps endpoints events limitranges namespaces nodes persistentvolumeclaims persistentvolumes pods
podtemplates replicationcontrollers resourcequotas secrets serviceaccounts services
{{- end }}
{{- define "adit.otherNames" -}}
binding: bindings
cs: componentstatuses
componentstatus: componentstatuses
cm: configmaps
configmap: configmaps
ep: endpoints
endpoint: endpoints
ev: events
event: events
limits: limitranges
limitrange: limitranges
ns: namespaces
namespace: namespaces
"no": nodes
node: nodes
pvc: persistentvolumeclaims
persistentvolumeclaim: persistentvolumeclaims
pv: persistentvolumes
persistentvolume: persistentvolumes
po: pods
pod: pods
podtemplate: podtemplates
rc: replicationcontrollers
replicationcontroller: replicationcontrollers
quota: resourcequotas
resourcequota: resourcequotas
secret: secrets
sa: serviceaccounts
serviceaccount: serviceaccounts
svc: services
service: services
ds.apps: daemonsets
daemonset.apps: daemonsets
deploy.apps: deployments
deployment.apps: deployments
rs.apps: replicasets
replicaset.apps: replicasets
sts.apps: statefulsets
statefulset.apps: statefulsets
hpa.autoscaling: horizontalpodautoscalers
horizontalpodautoscaler.autoscaling: horizontalpodautoscalers
cj.batch: cronjobs
cronjob.batch: cronjobs
job.batch: jobs
lease.coordination.k8s.io: leases
endpointslice.discovery.k8s.io: endpointslices
ing.networking.k8s.io: ingresses
ingress.networking.k8s.io: ingresses
netpol.networking.k8s.io: networkpolicies
networkpolicy.networking.k8s.io: networkpolicies
pdb.policy: poddisruptionbudgets
poddisruptionbudget.policy: poddisruptionbudgets
clusterrolebinding.rbac.authorization.k8s.io: clusterrolebindings
clusterrole.rbac.authorization.k8s.io: clusterroles
rolebinding.rbac.authorization.k8s.io: rolebindings
role.rbac.authorization.k8s.io: roles
sc.storage.k8s.io: storageclasses
storageclass.storage.k8s.io: storageclasses
{{- end }}

{{- define "adit.mistakes" -}}
{{- $relay := .Values.config.relay | default dict -}}
{{- if and .Values.relay.ca $relay.ca_file -}}
{{ printf "relay.ca, config.relay.ca_file: both say whom to believe for the relay: leave one out\n" }}
{{- end -}}
{{- if and .Values.relay.clientCertificate.secretName (or $relay.client_certificate $relay.client_key) -}}
{{ printf "relay.clientCertificate.secretName, config.relay.client_certificate: both say what the relay is shown: leave one out\n" }}
{{- end -}}
{{- $core := include "adit.core" . | replace "\n" " " | splitList " " -}}
{{- $otherNames := include "adit.otherNames" . | fromYaml -}}
{{- range $list := list "inNamespace" "everywhere" -}}
{{- range $at, $rule := get $.Values.rbac $list -}}
{{- range $resource := $rule.resources -}}
{{- $kind := splitList "/" $resource | first -}}
{{- $holds := false -}}
{{- $instead := "" -}}
{{- range $rule.apiGroups -}}
{{- $meant := get $otherNames (printf "%s.%s" $kind . | trimSuffix ".") -}}
{{- $instead = $instead | default $meant -}}
{{- $holds = or $holds (and (not $meant) (or . (eq $kind "*") (has $kind $core))) -}}
{{- end -}}
{{- if not $holds -}}
{{ printf "rbac.%s[%d].resources: %s: no group of apiGroups has it by this name, so this would never hold: write %s\n" $list $at $resource ($instead | default "its group in apiGroups") }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $outside := include "adit.outsideNamespaces" . | replace "\n" " " | splitList " " -}}
{{- range $at, $rule := .Values.rbac.inNamespace -}}
{{- range $resource := $rule.resources -}}
{{- $kind := splitList "/" $resource | first -}}
{{- $holds := false -}}
{{- range $rule.apiGroups -}}
{{- $holds = or $holds (not (has (printf "%s.%s" $kind . | trimSuffix ".") $outside)) -}}
{{- end -}}
{{- if not $holds -}}
{{ printf "rbac.inNamespace[%d].resources: %s: it is in no namespace, so this would never hold: leave it out, or name it in rbac.everywhere\n" $at $resource }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the agent would refuse. */}}
{{- define "adit.checkRelay" -}}
{{- $url := urlParse .Values.relay.url -}}
{{- $port := include "adit.relayPort" . | int64 -}}
{{- if or (lt $port 1) (gt $port 65535) -}}
{{- fail (printf "relay.url: %d is no port" $port) -}}
{{- end -}}
{{- if or $url.userinfo $url.query $url.fragment (not $url.hostname) -}}
{{- fail "relay.url: write the host and port alone, such as https://relay.example.com:8443" -}}
{{- end -}}
{{- if and (ne $url.scheme "wss") (trimSuffix "/" $url.path) -}}
{{- fail (printf "relay.url: %s is a path, which a relay has only behind wss://" $url.path) -}}
{{- end -}}
{{- end }}

{{/* As whom the agent acts, and what it does: for an agent for named namespaces alone, what its roles say, unless the values say it. */}}
{{- define "adit.ceiling" -}}
{{- $ceiling := pick .Values.ceiling "agent" "users" "groups" -}}
{{- $rbac := .Values.rbac -}}
{{- $isPlain := eq $rbac.impersonation "plain" -}}
{{- if and $rbac.create $rbac.namespaces (or $isPlain (not $rbac.everywhere)) -}}
{{- $_ := set $ceiling "namespaces" $rbac.namespaces -}}
{{- if $rbac.inNamespace -}}
{{- $verbs := list -}}
{{- $subresources := list -}}
{{- $hasAll := false -}}
{{- range $rbac.inNamespace -}}
{{- $verbs = concat $verbs .verbs -}}
{{- range .resources -}}
{{- if eq . "*" -}}
{{- $hasAll = true -}}
{{- else if contains "/" . -}}
{{- $subresources = append $subresources (splitList "/" . | last) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if lt (len (uniq $verbs)) 8 -}}
{{- $_ := set $ceiling "verbs" (uniq $verbs) -}}
{{- end -}}
{{- if not $hasAll -}}
{{- $_ := set $ceiling "subresources" (uniq $subresources | sortAlpha) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := dict "namespaces" .Values.ceiling.namespaces "cluster_scope" .Values.ceiling.clusterScope "verbs" .Values.ceiling.verbs "subresources" .Values.ceiling.subresources -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $ceiling $key $value -}}
{{- end -}}
{{- end -}}
{{ $ceiling | toYaml }}
{{- end }}

{{/* What the chart writes, with the user's keys over it. */}}
{{- define "adit.config" -}}
{{- $relay := dict "url" .Values.relay.url "token_file" "/etc/adit/token/token" -}}
{{- if .Values.relay.ca -}}
{{- $_ := set $relay "ca_file" "/etc/adit/config/ca.pem" -}}
{{- end -}}
{{- if .Values.relay.clientCertificate.secretName -}}
{{- $_ := set $relay "client_certificate" "/etc/adit/client/tls.crt" -}}
{{- $_ := set $relay "client_key" "/etc/adit/client/tls.key" -}}
{{- end -}}
{{- $config := dict
  "relay" $relay
  "kubernetes" (dict "max_connections" 64 "max_upgrades" 250)
  "limits" (dict "max_streams" 2000)
  "ceiling" (include "adit.ceiling" . | fromYaml)
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
