import type { KubeObject } from '@harikube/kube';

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
}

/** The parts of a Service that lead to it. */
export interface Service extends KubeObject {
  spec?: { type?: string; externalName?: string; ports?: ServicePort[] };
}

export interface ServiceTarget {
  readonly name: string;
  readonly namespace: string;
  /** Absent: the only port there is. */
  readonly portName?: string;
  readonly scheme: 'http' | 'https';
}

/** Where a Service answers, without a path: `http://name.namespace.svc:8080`; or a sentence why there is no such place. */
export function serviceOrigin({ name, namespace, portName, scheme }: ServiceTarget, service: Service): URL | string {
  const { type, externalName = '', ports = [] } = service.spec ?? {};
  const isExternal = type === 'ExternalName';
  if (isExternal && externalName === '') return `the Service ${namespace}/${name} has no externalName`;
  const host = isExternal ? externalName.replace(/\.$/, '') : `${name}.${namespace}.svc`;
  // A Service that only stands for a name may say nothing of ports.
  if (isExternal && ports.length === 0 && portName === undefined) return originOf(`${scheme}://${host}`, service);
  const port = portName === undefined ? onlyOne(ports) : ports.find((one) => one.name === portName);
  if (port !== undefined) return originOf(`${scheme}://${host}:${port.port}`, service);
  if (portName !== undefined) return `the Service ${namespace}/${name} has no port with the name ${portName}`;
  if (ports.length === 0) return `the Service ${namespace}/${name} has no ports`;
  return `the Service ${namespace}/${name} has ${ports.length} ports, and url.service.portName says none of them`;
}

function originOf(text: string, { metadata: { name, namespace } }: Service): URL | string {
  return URL.canParse(text) ? new URL(text) : `the Service ${namespace}/${name} leads to ${text}, which is no URL`;
}

function onlyOne<T>(values: readonly T[]): T | undefined {
  return values.length === 1 ? values[0] : undefined;
}
