/** What a local control plane is made of. */
export const PROGRAMS = ['kube-apiserver', 'kube-controller-manager', 'kubectl', 'etcd', 'etcdctl'] as const;
export type Program = (typeof PROGRAMS)[number];
