{{/* The Deployment of a program of the platform: of `values`, with `args`, `mounts` and `volumes` of its own. */}}
{{- define "harikube.platformDeployment" -}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "harikube.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" . | nindent 2 }}
spec:
  replicas: {{ .values.replicaCount }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
  selector:
    matchLabels:
      {{- include "harikube.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- merge (dict) (include "harikube.labels" . | fromYaml) .values.podLabels | toYaml | nindent 8 }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ .component }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "harikube.accountName" . }}
      automountServiceAccountToken: true
      {{- include "harikube.podSettings" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "harikube.image" (dict "root" .root "image" .values.image) }}
          imagePullPolicy: {{ .values.image.pullPolicy }}
          {{- with .root.Values.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          args:
            - {{ .component }}
            - --leader-elect
            - --metrics-bind-address=:8080
            - --health-probe-bind-address=:8081
            - --log-format={{ .root.Values.logFormat }}
            {{- if .root.Values.debug }}
            - --debug
            {{- end }}
            {{- range .args }}
            - {{ . | quote }}
            {{- end }}
            {{- range .values.args }}
            - {{ . | quote }}
            {{- end }}
          env:
            {{- include "harikube.env" (dict "resources" .values.resources "env" .values.env) | nindent 12 }}
          ports:
            - { name: metrics, containerPort: 8080, protocol: TCP }
            - { name: health, containerPort: 8081, protocol: TCP }
            {{- if .hasWebhook }}
            - { name: webhook, containerPort: 9443, protocol: TCP }
            {{- end }}
          {{- include "harikube.probes" (dict "port" "health") | nindent 10 }}
          {{- if .hasWebhook }}
          lifecycle:
            # Until kube-apiserver knows that this address goes.
            preStop: { sleep: { seconds: 5 } }
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            {{- range concat (default (list) .mounts) .values.volumeMounts }}
            - {{ toJson . }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- range concat (default (list) .volumes) .values.volumes }}
        - {{ toJson . }}
        {{- end }}
{{ include "harikube.disruptionBudget" (merge (dict "replicas" .values.replicaCount) .) }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "harikube.fullname" .root }}-{{ .component }}-metrics
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" . | nindent 2 }}
spec:
  selector:
    {{- include "harikube.selectorLabels" . | nindent 4 }}
  ports:
    - { name: metrics, port: 8080, targetPort: metrics, protocol: TCP, appProtocol: http }
{{- end -}}

{{/*
A ClusterRole and its binding (`clusterRules`), a Role and its binding (`rules`) for the account of a program. What serves a whole cluster
(`isAlone`) has a ClusterRole of the same name in each release: Helm refuses a second release before it makes anything, and names the first one.
*/}}
{{- define "harikube.rights" -}}
{{- $name := printf "%s-%s" (include "harikube.fullname" .root) .component }}
{{- $clusterName := printf "%s-%s" (ternary "harikube" (include "harikube.clusterName" .root) .isAlone) .component }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $clusterName }}
  {{- include "harikube.metadata" . | nindent 2 }}
rules:
  {{- toYaml .clusterRules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $clusterName }}
  {{- include "harikube.metadata" . | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $clusterName }} }
subjects:
  - { kind: ServiceAccount, name: {{ include "harikube.accountName" . }}, namespace: {{ .root.Release.Namespace }} }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" . | nindent 2 }}
rules:
  # Kubernetes knows no name at a create.
  - { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create] }
  - { apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [{{ .component }}.harikube.info], verbs: [get, update] }
  {{- with .rules }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" . | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }} }
subjects:
  - { kind: ServiceAccount, name: {{ include "harikube.accountName" . }}, namespace: {{ .root.Release.Namespace }} }
{{- end -}}
