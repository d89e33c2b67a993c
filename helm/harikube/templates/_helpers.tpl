{{- define "harikube.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of what has no namespace: two releases in two namespaces do not meet. */}}
{{- define "harikube.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "harikube.fullname" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "harikube.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "harikube.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{ include "harikube.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: harikube
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata without its name; `annotations` come to the common ones. */}}
{{- define "harikube.metadata" -}}
labels:
  {{- include "harikube.labels" . | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "harikube.image" -}}
{{- $registry := default .image.registry (default (dict) .root.Values.global).imageRegistry -}}
{{- $name := .image.repository -}}
{{- if $registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{ end -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $name .image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) }}
{{- end -}}
{{- end -}}

{{- define "harikube.pullSecrets" -}}
{{- with concat (default (list) (default (dict) .Values.global).imagePullSecrets) .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Three quarters of a limit such as 2Gi or 512Mi, in MiB. */}}
{{- define "harikube.heap" -}}
{{- $limit := toString . -}}
{{- $mebibytes := 0.0 -}}
{{- if hasSuffix "Gi" $limit }}{{ $mebibytes = mulf (trimSuffix "Gi" $limit | float64) 1024 }}
{{- else if hasSuffix "Mi" $limit }}{{ $mebibytes = trimSuffix "Mi" $limit | float64 }}
{{- else if hasSuffix "G" $limit }}{{ $mebibytes = mulf (trimSuffix "G" $limit | float64) 953 }}
{{- else if hasSuffix "M" $limit }}{{ $mebibytes = mulf (trimSuffix "M" $limit | float64) 0.953 }}
{{- else }}{{ fail (printf "a limit of memory is %s; write it in Mi or Gi" $limit) }}
{{- end -}}
{{ mulf $mebibytes 0.75 | int }}
{{- end -}}

{{/* Environment of every container: its Pod, and the heap of Node. */}}
{{- define "harikube.env" -}}
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
{{- $limit := dig "limits" "memory" "" .resources }}
{{- $flags := default (list) .nodeFlags }}
{{- if $limit }}{{ $flags = append $flags (printf "--max-old-space-size=%s" (include "harikube.heap" $limit)) }}{{ end }}
{{- with $flags }}
- name: NODE_OPTIONS
  value: {{ join " " . | quote }}
{{- end }}
{{- with .env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "harikube.podSettings" -}}
{{- include "harikube.pullSecrets" .root }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.hostNetwork }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
{{- end }}
topologySpreadConstraints:
  {{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "harikube.selectorLabels" $ | nindent 8 }}
  {{- end }}
  {{- end }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "harikube.accountName" -}}
{{- if .values.serviceAccount.create -}}
{{ default (printf "%s-%s" (include "harikube.fullname" .root) .component) .values.serviceAccount.name }}
{{- else -}}
{{ default "default" .values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "harikube.account" -}}
{{- if .values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "harikube.accountName" . }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" (merge (dict "annotations" .values.serviceAccount.annotations) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{- define "harikube.disruptionBudget" -}}
{{- if and .values.podDisruptionBudget.create (gt (int .replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "harikube.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "harikube.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Not empty: a value names a SQLite file, which one router has to itself. */}}
{{- define "harikube.usesFiles" -}}
{{- $endpoints := list -}}
{{- if not .Values.middleware.endPoint.existingSecret.name }}{{ $endpoints = append $endpoints .Values.middleware.endPoint.url }}{{ end -}}
{{- if eq .Values.topology.source "config" }}{{ range .Values.topology.backends }}{{ $endpoints = append $endpoints .endpoint }}{{ end }}{{ end -}}
{{- range .Values.topologyConfigs }}{{ range .backends }}{{ $endpoints = append $endpoints (default "" .endpoint) }}{{ end }}{{ end -}}
{{- if or .Values.middleware.pvc.create (contains "sqlite://" (join " " $endpoints)) }}true{{ end -}}
{{- end -}}

{{- define "harikube.targetNamespace" -}}
{{ default .Release.Namespace .Values.topology.targetSecret.namespace }}
{{- end -}}

{{- define "harikube.targetSecret" -}}
{{ include "harikube.targetNamespace" . }}/{{ .Values.topology.targetSecret.name }}
{{- end -}}

{{/* A Secret of certificates: server, client, admin or webhook. */}}
{{- define "harikube.tlsSecret" -}}
{{- $existing := get .root.Values.tls.existing .name -}}
{{- if eq .root.Values.tls.mode "existingSecret" -}}
{{ required (printf "tls.mode is existingSecret: tls.existing.%s names no Secret" .name) $existing }}
{{- else -}}
{{ include "harikube.fullname" .root }}-{{ .name }}
{{- end -}}
{{- end -}}

{{/* Names of a Service as JSON. */}}
{{- define "harikube.serviceNames" -}}
{{- $base := printf "%s.%s" .service .root.Release.Namespace -}}
{{ list .service $base (printf "%s.svc" $base) (printf "%s.svc.%s" $base .root.Values.clusterDomain) | toJson }}
{{- end -}}

{{- define "harikube.serverNames" -}}
{{- $fullname := include "harikube.fullname" . -}}
{{- $router := include "harikube.serviceNames" (dict "root" . "service" (printf "%s-router" $fullname)) | fromJsonArray -}}
{{- $admin := include "harikube.serviceNames" (dict "root" . "service" (printf "%s-router-admin" $fullname)) | fromJsonArray -}}
{{ concat $router $admin .Values.tls.extraNames | toJson }}
{{- end -}}

{{- define "harikube.webhookNames" -}}
{{ include "harikube.serviceNames" (dict "root" . "service" (printf "%s-topology-webhook" (include "harikube.fullname" .))) }}
{{- end -}}

{{- define "harikube.hasWebhook" -}}
{{- if and .Values.operator.create .Values.operator.webhook.create }}true{{ end -}}
{{- end -}}

{{- define "harikube.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: {{ .port }} }
  periodSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet: { path: /readyz, port: {{ .port }} }
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  httpGet: { path: /livez, port: {{ .port }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* Refuses values that belong into a Secret, and objects that nobody would look after. */}}
{{- define "harikube.checks" -}}
{{- $endpoints := dict -}}
{{- if not .Values.middleware.endPoint.existingSecret.name }}{{ $_ := set $endpoints "middleware.endPoint.url" .Values.middleware.endPoint.url }}{{ end -}}
{{- range $index, $backend := .Values.topology.backends }}{{ $_ := set $endpoints (printf "topology.backends[%d].endpoint" $index) $backend.endpoint }}{{ end -}}
{{- range $index, $config := .Values.topologyConfigs }}{{ range $place, $backend := $config.backends }}
{{- $_ := set $endpoints (printf "topologyConfigs[%d].backends[%d].endpoint" $index $place) (default "" $backend.endpoint) }}
{{- end }}{{ end -}}
{{- range $key, $text := merge (dict "topology.url" .Values.topology.url) $endpoints }}
{{- if regexMatch "://[^/@]*:[^/@]+@" $text }}
{{- fail (printf "%s: %s has a password: put the whole of it into a Secret, and name that one by middleware.endPoint.existingSecret, topology.existingSecret, or secret://NAMESPACE/NAME/KEY in a TopologyConfig" $key (regexReplaceAll ":[^/@:]+@" $text ":…@")) }}
{{- end }}
{{- end }}
{{- range $key, $text := $endpoints }}
{{- if not (regexMatch "^(multi://)?(sqlite|postgres|postgresql|mysql|mariadb|http|https|secret)://" $text) }}
{{- fail (printf "%s: \"%s\" is no database: write sqlite://, postgres://, mysql://, or http:// or https:// of an etcd" $key (regexReplaceAll ":[^/@:]+@" $text ":…@")) }}
{{- end }}
{{- end }}
{{- if and .Values.topologyConfigs (not .Values.operator.create) }}
{{- fail "topologyConfigs are looked after by the topology operator: set operator.create, or leave them out" }}
{{- end }}
{{- if and .Values.httpTriggers (not .Values.serverlessKubeWatchTrigger.create) }}
{{- fail "httpTriggers are served by the trigger: set serverlessKubeWatchTrigger.create, or leave them out" }}
{{- end }}
{{- end -}}
