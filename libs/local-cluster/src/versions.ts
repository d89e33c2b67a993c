/** The one place that pins what the local control plane is made of; `kubernetes/go.mod` has to agree (a spec compares them). */
export const KUBERNETES_VERSION = '1.36.3';
export const ETCD_VERSION = '3.6.8';
/** Oldest Go that compiles them. */
export const GO_VERSION = '1.26';
