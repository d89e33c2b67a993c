{{- define "webshop.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "webshop.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "webshop.name" .) .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "webshop.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change: of a component when it is given. Takes a list of the context and the component. */}}
{{- define "webshop.selectorLabels" -}}
{{- $context := index . 0 -}}
app.kubernetes.io/name: {{ include "webshop.name" $context }}
app.kubernetes.io/instance: {{ $context.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "webshop.labels" -}}
{{- $context := index . 0 -}}
{{ include "webshop.selectorLabels" . }}
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: harikube
app.kubernetes.io/managed-by: {{ $context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" }}
{{- with $context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The inside of metadata: labels, and annotations beside those of a third item. */}}
{{- define "webshop.meta" -}}
{{- $context := index . 0 -}}
labels:
  {{- include "webshop.labels" (list $context (index . 1)) | nindent 2 }}
{{- $own := dict }}{{- if gt (len .) 2 }}{{- $own = index . 2 }}{{- end }}
{{- with merge (deepCopy $own) $context.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes a list of the context and an image's values. */}}
{{- define "webshop.image" -}}
{{- $context := index . 0 -}}{{- $image := index . 1 -}}
{{- $registry := (($context.Values.global | default dict).imageRegistry) | default $image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $context.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Names of the Secrets of the certificates. */}}
{{- define "webshop.apiServerSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" }}{{ required "tls.existing.apiServer is needed by tls.mode existingSecret" .Values.tls.existing.apiServer }}
{{- else }}{{ include "webshop.fullname" . }}-api-server-tls{{ end }}
{{- end }}
{{- define "webshop.webhookSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" }}{{ required "tls.existing.admissionWebhook is needed by tls.mode existingSecret" .Values.tls.existing.admissionWebhook }}
{{- else }}{{ include "webshop.fullname" . }}-admission-webhook-tls{{ end }}
{{- end }}

{{/* What kube-apiserver trusts when it calls; base64. Empty: a Job or cert-manager sets it. */}}
{{- define "webshop.caBundle" -}}
{{- if eq .Values.tls.mode "helm" }}{{ (include "webshop.helmCertificates" . | fromYaml).ca | b64enc }}
{{- else if eq .Values.tls.mode "existingSecret" }}{{ required "tls.existing.caBundle is needed by tls.mode existingSecret" .Values.tls.existing.caBundle | b64enc }}
{{- end }}
{{- end }}

{{/* The certificates of mode helm: those of the release, or made once for this rendering. */}}
{{- define "webshop.helmCertificates" -}}
{{- if not (hasKey .Release "webshopCertificates") }}
{{- $fullname := include "webshop.fullname" . }}
{{- $apiServer := (lookup "v1" "Secret" .Release.Namespace (include "webshop.apiServerSecret" .)).data }}
{{- $webhook := (lookup "v1" "Secret" .Release.Namespace (include "webshop.webhookSecret" .)).data }}
{{- $made := dict }}
{{- if and $apiServer $webhook }}
{{- $made = dict "ca" (index $apiServer "ca.crt" | b64dec) "apiServer" (dict "crt" (index $apiServer "tls.crt" | b64dec) "key" (index $apiServer "tls.key" | b64dec)) "webhook" (dict "crt" (index $webhook "tls.crt" | b64dec) "key" (index $webhook "tls.key" | b64dec)) }}
{{- else }}
{{- $days := int .Values.tls.helm.validityDays }}
{{- $ca := genCA (printf "%s-ca" $fullname) $days }}
{{- $apiHost := printf "%s-api-server.%s.svc" $fullname .Release.Namespace }}
{{- $hookHost := printf "%s-admission-webhook.%s.svc" $fullname .Release.Namespace }}
{{- $api := genSignedCert $apiHost nil (list $apiHost) $days $ca }}
{{- $hook := genSignedCert $hookHost nil (list $hookHost) $days $ca }}
{{- $made = dict "ca" $ca.Cert "apiServer" (dict "crt" $api.Cert "key" $api.Key) "webhook" (dict "crt" $hook.Cert "key" $hook.Key) }}
{{- end }}
{{- $_ := set .Release "webshopCertificates" ($made | toYaml) }}
{{- end }}
{{- get .Release "webshopCertificates" }}
{{- end }}

{{/* What all Pods have. Takes a list of the context and the component. */}}
{{- define "webshop.podSettings" -}}
{{- $context := index . 0 -}}{{- $component := index . 1 -}}
{{- with $context.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  {{- toYaml $context.Values.pod.securityContext | nindent 2 }}
{{- with $context.Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $context.Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $context.Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $context.Values.pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $context.Values.pod.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* One service. Takes a dict: context, component, values, args, replicas, grace, and where they are not the usual ones image, ports, tlsSecret, volumes, mounts, preStopSeconds. */}}
{{- define "webshop.deployment" -}}
{{- $context := .context -}}{{- $component := .component -}}{{- $pod := $context.Values.pod -}}
{{- $memory := (($context.Values.pod).memory) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "webshop.fullname" $context }}-{{ $component }}
  namespace: {{ $context.Release.Namespace }}
  {{- include "webshop.meta" (list $context $component) | nindent 2 }}
spec:
  replicas: {{ .values.replicas }}
  revisionHistoryLimit: {{ $pod.revisionHistoryLimit }}
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "webshop.selectorLabels" (list $context $component) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "webshop.labels" (list $context $component) | nindent 8 }}
        {{- with $pod.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pod.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $component }}
      automountServiceAccountToken: true
      terminationGracePeriodSeconds: {{ .grace }}
      {{- include "webshop.podSettings" (list $context $component) | nindent 6 }}
      {{- if $pod.topologySpread }}
      topologySpreadConstraints:
        {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ $key }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "webshop.selectorLabels" (list $context $component) | nindent 14 }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ $component }}
          {{- $image := .image | default $context.Values.image }}
          image: {{ include "webshop.image" (list $context $image) }}
          imagePullPolicy: {{ $image.pullPolicy }}
          args:
            - {{ $component }}
            - --health-probe-bind-address=:8081
            - --metrics-bind-address=:8082
            - --log-format={{ $context.Values.logFormat }}
            {{- if $context.Values.debug }}
            - --debug
            {{- end }}
            {{- range concat .args .values.args }}
            - {{ . | quote }}
            {{- end }}
          env:
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            {{- with $pod.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            {{- range $name, $port := .ports | default dict }}
            - name: {{ $name }}
              containerPort: {{ $port }}
            {{- end }}
            - name: health
              containerPort: 8081
            - name: metrics
              containerPort: 8082
          startupProbe:
            httpGet:
              path: /livez
              port: health
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 120
          readinessProbe:
            httpGet:
              path: /readyz
              port: health
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            httpGet:
              path: /livez
              port: health
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          {{- with .preStopSeconds }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ . }}
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- toYaml $pod.containerSecurityContext | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if .tlsSecret }}
            - name: tls
              mountPath: /etc/harikube/tls
              readOnly: true
            {{- end }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with $pod.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- with .tlsSecret }}
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0440
            items:
              - key: tls.crt
                path: tls.crt
              - key: tls.key
                path: tls.key
        {{- end }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $pod.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- if and $context.Values.podDisruptionBudget.create (gt (int .values.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "webshop.fullname" $context }}-{{ $component }}
  namespace: {{ $context.Release.Namespace }}
  {{- include "webshop.meta" (list $context $component) | nindent 2 }}
spec:
  minAvailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "webshop.selectorLabels" (list $context $component) | nindent 6 }}
{{- end }}
{{- end }}

{{/* The account of a service and what it may do. Takes a dict: context, component, clusterRules, rules (both YAML). */}}
{{- define "webshop.account" -}}
{{- $context := .context -}}{{- $component := .component -}}
{{- $meta := include "webshop.meta" (list $context $component) -}}
{{- if $context.Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $component }}
  namespace: {{ $context.Release.Namespace }}
  {{- include "webshop.meta" (list $context $component $context.Values.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- if $context.Values.rbac.create }}
{{- $name := printf "%s-%s" (include "webshop.fullname" $context) $component }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  {{- $meta | nindent 2 }}
rules:
  {{- .clusterRules | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  {{- $meta | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $component }}
    namespace: {{ $context.Release.Namespace }}
{{- with .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $context.Release.Namespace }}
  {{- $meta | nindent 2 }}
rules:
  {{- . | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $context.Release.Namespace }}
  {{- $meta | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ $component }}
    namespace: {{ $context.Release.Namespace }}
{{- end }}
{{- end }}
{{- end }}

{{/* To hold the Lease of a controller. */}}
{{- define "webshop.leaseRules" -}}
# Kubernetes knows no name at a create.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ . }}.harikube.info]
  verbs: [get, update]
{{- end }}
