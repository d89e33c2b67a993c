{{- define "harikube.hookContainer" -}}
name: {{ .container.name }}
image: {{ include "harikube.image" (dict "root" .root "image" .root.Values.operator.image) }}
imagePullPolicy: {{ .root.Values.operator.image.pullPolicy }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
  {{- range .container.args }}
  - {{ . | quote }}
  {{- end }}
env:
  {{- include "harikube.env" (dict "resources" .root.Values.hooks.resources) | nindent 2 }}
resources:
  {{- toYaml .root.Values.hooks.resources | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  {{- with .volume }}
  - { name: {{ .name }}, mountPath: /{{ .name }}, readOnly: true }
  {{- end }}
  {{- range .mounts }}
  - {{ toJson . }}
  {{- end }}
{{- end -}}

{{/* Pod settings of hooks and tests: they go wherever there is room. */}}
{{- define "harikube.hookPod" -}}
automountServiceAccountToken: true
restartPolicy: Never
{{- include "harikube.pullSecrets" .root }}
nodeSelector:
  {{- toYaml .root.Values.operator.nodeSelector | nindent 2 }}
{{- with .root.Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A Job whose containers run one after the other: `step`, `on`, `containers`, and the `volume` that they read. */}}
{{- define "harikube.hookJob" -}}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "harikube.fullname" .root }}-{{ .step }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "harikube.metadata" (merge (dict "annotations" (dict "helm.sh/hook" .on "helm.sh/hook-weight" "0" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded")) .) | nindent 2 }}
spec:
  backoffLimit: {{ .root.Values.hooks.backoffLimit }}
  activeDeadlineSeconds: {{ mul .root.Values.hooks.timeoutSeconds 2 }}
  ttlSecondsAfterFinished: {{ .root.Values.hooks.ttlSecondsAfterFinished }}
  template:
    metadata:
      labels:
        {{- include "harikube.labels" . | nindent 8 }}
      {{- with .root.Values.hooks.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "harikube.fullname" .root }}-hook
      {{- include "harikube.hookPod" . | nindent 6 }}
      {{- with initial .containers }}
      initContainers:
        {{- range . }}
        -
          {{- include "harikube.hookContainer" (merge (dict "container" .) $) | nindent 10 }}
        {{- end }}
      {{- end }}
      containers:
        -
          {{- include "harikube.hookContainer" (merge (dict "container" (last .containers)) .) | nindent 10 }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 16Mi }
        {{- with .volume }}
        - {{ toJson . }}
        {{- end }}
{{- end -}}
