{{/* The certificates of the release as JSON: `authority` is empty, or admin for the one whose clients open the admin API. */}}
{{- define "harikube.certificates" -}}
{{- $fullname := include "harikube.fullname" . -}}
{{- $all := list
  (dict "name" "server" "authority" "" "use" "server" "commonName" (printf "%s-router" $fullname) "names" (include "harikube.serverNames" . | fromJsonArray))
  (dict "name" "client" "authority" "" "use" "client" "commonName" "kube-apiserver")
  (dict "name" "admin" "authority" "admin" "use" "client" "commonName" "topology-operator") -}}
{{- if include "harikube.hasWebhook" . -}}
{{- $all = append $all (dict "name" "webhook" "authority" "" "use" "server" "commonName" (printf "%s-topology-webhook" $fullname) "names" (include "harikube.webhookNames" . | fromJsonArray)) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/*
Mode helm: {secrets, authority}. What is in the cluster already is used again; an upgrade changes nothing. Made once in a rendering, since each call
would make others.
*/}}
{{- define "harikube.helmCertificates" -}}
{{- if not (hasKey .Values "renderedCertificates") -}}
{{- $fullname := include "harikube.fullname" . -}}
{{- $days := int .Values.tls.helm.validityDays -}}
{{- $certificates := include "harikube.certificates" . | fromJsonArray -}}
{{- $secrets := dict -}}
{{- range $certificates -}}
{{- $found := lookup "v1" "Secret" $.Release.Namespace (printf "%s-%s" $fullname .name) -}}
{{- if $found }}{{ $_ := set $secrets .name $found.data }}{{ end -}}
{{- end -}}
{{- if ne (len $secrets) (len $certificates) -}}
{{- $authorities := dict "" (genCA (printf "%s-ca" $fullname) $days) "admin" (genCA (printf "%s-admin-ca" $fullname) $days) -}}
{{- range $certificates -}}
{{- $authority := get $authorities .authority -}}
{{- $made := genSignedCert .commonName (list) (default (list) .names) $days $authority -}}
{{- $_ := set $secrets .name (dict "ca.crt" (b64enc $authority.Cert) "tls.crt" (b64enc $made.Cert) "tls.key" (b64enc $made.Key)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set .Values "renderedCertificates" (dict "secrets" $secrets "authority" (index $secrets "server" "ca.crt")) -}}
{{- end -}}
{{- toJson .Values.renderedCertificates -}}
{{- end -}}

{{/* What the Job of mode selfSigned is to make. */}}
{{- define "harikube.certificatesSpec" -}}
{{- $fullname := include "harikube.fullname" . -}}
{{- $authorities := list -}}
{{- range $name, $secret := dict "" (printf "%s-ca" $fullname) "admin" (printf "%s-admin-ca" $fullname) -}}
{{- $of := list -}}
{{- range include "harikube.certificates" $ | fromJsonArray -}}
{{- if eq .authority $name -}}
{{- $of = append $of (merge (dict "secret" (printf "%s-%s" $fullname .name)) (omit . "name" "authority")) -}}
{{- end -}}
{{- end -}}
{{- $authorities = append $authorities (dict "secret" $secret "commonName" $secret "certificates" $of) -}}
{{- end -}}
{{- dict "namespace" .Release.Namespace "labels" (dict "app.kubernetes.io/managed-by" "harikube" "harikube.info/release" (include "harikube.release" .)) "authorities" $authorities | toJson -}}
{{- end -}}

{{- define "harikube.release" -}}
{{- printf "%s.%s" .Release.Namespace .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
