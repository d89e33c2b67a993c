import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KubeClient, type KubeObject, type Resource } from '@harikube/kube';
import { readEnv } from '@harikube/platform';
import { runProgram } from '../../run-program.js';
import { eventually } from '../../e2e/eventually.js';
import { ChartCluster } from './chart-cluster.js';
import { unknownFields } from './pod.js';

const MINUTES = 60_000;
const IMAGE = 'harikube/platform:test';
const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};
const POD_SECURITY = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };

/** Answers each request with what it sees of its world; slowly ends after SIGTERM. */
const SERVER = `
const { readFileSync, statSync, writeFileSync, accessSync, constants } = require('node:fs');
const { hostname } = require('node:os');
const writable = (path) => { try { accessSync(path, constants.W_OK); return true; } catch { return false; } };
const server = require('node:http').createServer((request, response) => {
  if (request.url === '/ready') return response.end();
  response.end(JSON.stringify({
    uid: process.getuid(), pid: process.pid, hostname: hostname(), env: process.env.GREETING, ip: process.env.IP, memory: process.env.MEMORY,
    secret: readFileSync('/etc/settings/password', 'utf8'), mode: (statSync('/etc/settings/password').mode & 0o777).toString(8),
    writable: ['/app', '/etc', '/tmp', '/etc/settings'].filter(writable), kept: readFileSync('/var/kept/from-init', 'utf8'),
  }));
});
server.listen(8080);
process.on('SIGTERM', () => setTimeout(() => process.exit(0), 300));
`;

/** Asks kube-apiserver who it is, and the Service for its answer. */
const CALLER = `
const read = (name) => require('node:fs').readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/' + name, 'utf8');
const { get } = require('node:https');
const options = { ca: read('ca.crt'), headers: { authorization: 'Bearer ' + read('token') } };
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
get('https://' + host + ':' + port + '/api/v1/namespaces/' + read('namespace') + '/pods', options, (answer) => {
  answer.resume();
  console.log('pods: ' + answer.statusCode);
  require('node:http').get('http://web.stand-in.svc:80/', (page) => page.on('data', (data) => console.log('page: ' + data)));
});
`;

let clusterUnderTest: ChartCluster;
let client: KubeClient;

function pod(name: string, spec: object, labels: Record<string, string> = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'stand-in', labels },
    spec: { securityContext: POD_SECURITY, restartPolicy: 'Never', ...spec },
  };
}

interface PodObject extends KubeObject {
  status?: { phase?: string; message?: string; containerStatuses?: { restartCount: number; ready: boolean }[] };
}

const PODS: Resource<PodObject> = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

async function apply(...objects: object[]): Promise<void> {
  await clusterUnderTest.cluster.kubectl.succeed(['apply', '-f', '-'], { apiVersion: 'v1', kind: 'List', items: objects });
}

async function wait(what: string, condition: string): Promise<void> {
  await clusterUnderTest.cluster.kubectl.succeed(['wait', '-n', 'stand-in', what, `--for=${condition}`, '--timeout=60s']);
}

describe('unknownFields', () => {
  it('names what a spec says and the stand-in does not know, at any depth', () => {
    const known = { name: 'web', image: IMAGE, securityContext: { privileged: false, ...RESTRICTED } };
    const volumes = [{ name: 'kept', hostPath: { path: '/' } }];
    const spec = { hostNetwork: true, dnsPolicy: 'None', containers: [known, { ...known, stdin: true }], volumes };
    expect(unknownFields(spec)).toEqual([
      'spec.hostNetwork',
      'spec.dnsPolicy="None"',
      'spec.containers[1].stdin',
      'spec.volumes[0].hostPath',
    ]);
    expect(unknownFields({ containers: [known] })).toEqual([]);
  });
});

/** Needs root: on a laptop it is not there for anybody else. */
function describeNode(describeIt: () => void): void {
  if (ChartCluster.isPossible || readEnv()['CI'] === 'true') describe('NodeStandIn', describeIt);
  else process.stderr.write('the stand-in of a node is left out: it needs Linux and root\n');
}

describeNode(() => {
  beforeAll(async () => {
    clusterUnderTest = await ChartCluster.start({ name: 'stand-in', store: 'etcd' });
    client = KubeClient.fromConfig({ kubeconfig: clusterUnderTest.cluster.kubeconfigFile, userAgent: 'harikube-test' });
    await clusterUnderTest.cluster.kubectl.succeed(['create', 'namespace', 'stand-in']);
    await clusterUnderTest.cluster.kubectl.succeed([
      ...['label', 'namespace', 'stand-in', 'pod-security.kubernetes.io/enforce=restricted'],
    ]);
  }, 5 * MINUTES);

  afterAll(async () => {
    await client.close();
    const { bridge } = clusterUnderTest.network;
    const { logFolder } = clusterUnderTest.node;
    await clusterUnderTest.stop().catch((error: unknown) => expect(String(error)).toContain('hostNetwork'));
    expect(await runProgram('ip', ['-o', 'link'])).not.toContain(`${bridge}:`);
    expect(await runProgram('ip', ['netns', 'list'])).not.toContain(`${bridge}-`);
    await expect(readdir(logFolder)).rejects.toThrow('ENOENT');
  }, MINUTES);

  it(
    'runs a Deployment whose Pods other Pods reach by the name of its Service, and ends them by SIGTERM',
    async () => {
      const security = { securityContext: RESTRICTED };
      const web = { image: IMAGE, command: ['node', '-e'] };
      const readiness = { readinessProbe: { httpGet: { port: 'http', path: '/ready' }, periodSeconds: 1 } };
      await apply(
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'settings', namespace: 'stand-in' }, stringData: { password: 'first' } },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'web', namespace: 'stand-in' },
          spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
        },
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'kept', namespace: 'stand-in' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'web', namespace: 'stand-in' },
          spec: {
            selector: { matchLabels: { app: 'web' } },
            template: {
              metadata: { labels: { app: 'web' } },
              spec: {
                securityContext: { ...POD_SECURITY, fsGroup: 65_532 },
                initContainers: [
                  {
                    ...{ ...web, ...security, name: 'init', args: ["require('fs').writeFileSync('/var/kept/from-init', 'yes')"] },
                    volumeMounts: [{ name: 'kept', mountPath: '/var/kept' }],
                  },
                ],
                containers: [
                  {
                    ...{ ...web, ...security, ...readiness, name: 'web', args: [SERVER] },
                    ports: [{ name: 'http', containerPort: 8080 }],
                    resources: { limits: { memory: '256Mi' } },
                    env: [
                      { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
                      { name: 'GREETING', value: 'hello $(NAME) $$(NAME) $(NOBODY)' },
                      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                      { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
                    ],
                    volumeMounts: [
                      { name: 'tmp', mountPath: '/tmp' },
                      { name: 'settings', mountPath: '/etc/settings' },
                      { name: 'kept', mountPath: '/var/kept' },
                    ],
                  },
                ],
                volumes: [
                  { name: 'tmp', emptyDir: {} },
                  { name: 'settings', secret: { secretName: 'settings', defaultMode: 0o400 } },
                  { name: 'kept', persistentVolumeClaim: { claimName: 'kept' } },
                ],
              },
            },
          },
        },
      );
      await wait('deployment/web', 'condition=Available');
      await apply(pod('caller', { containers: [{ name: 'caller', image: IMAGE, command: ['node', '-e', CALLER], ...security }] }));
      await wait('pod/caller', 'jsonpath={.status.phase}=Succeeded');
      const log = await readFile(join(clusterUnderTest.node.logFolder, 'stand-in_caller_caller.log'), 'utf8');
      expect(log).toContain('pods: 403');
      const page = JSON.parse(/page: (.*)/.exec(log)?.[1] ?? '') as Record<string, unknown>;
      expect(page).toMatchObject({ uid: 65_532, pid: 1, env: 'hello stand-in $(NAME) $(NOBODY)', memory: '256', kept: 'yes' });
      expect(page).toMatchObject({ secret: 'first', mode: '440', writable: ['/tmp'] });
      expect(page['hostname']).toMatch(/^web-[a-z0-9]+-[a-z0-9]+$/);
      expect(page['ip']).toMatch(/^10\.89\./);

      await clusterUnderTest.cluster.kubectl.succeed(['delete', '-n', 'stand-in', 'deployment/web', 'pvc/kept', '--cascade=foreground']);
      await eventually(
        () => client.list(PODS, { namespace: 'stand-in' }),
        ({ items }) => items.length === 1,
      );
      const [ending] = clusterUnderTest.node.endings;
      expect(ending).toMatchObject({ container: 'web', exitCode: 0, isKilled: false });
      expect(ending?.milliseconds).toBeGreaterThan(250);
    },
    2 * MINUTES,
  );

  it(
    'completes a Job by trying again, restarts what is not alive, and kills what does not end',
    async () => {
      const security = { securityContext: RESTRICTED };
      const once = "require('fs').existsSync('/tmp/x') || (require('fs').writeFileSync('/tmp/x', ''), process.exit(3))";
      await apply(
        {
          apiVersion: 'batch/v1',
          kind: 'Job',
          metadata: { name: 'twice', namespace: 'stand-in' },
          spec: {
            template: {
              spec: {
                securityContext: POD_SECURITY,
                restartPolicy: 'OnFailure',
                containers: [
                  {
                    ...{ name: 'work', image: IMAGE, command: ['node', '-e', once], ...security },
                    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
                  },
                ],
                volumes: [{ name: 'tmp', emptyDir: {} }],
              },
            },
          },
        },
        pod('ill', {
          restartPolicy: 'Always',
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              ...{
                name: 'ill',
                image: IMAGE,
                command: ['node', '-e', 'setInterval(() => 0, 1e6)'],
                ...security,
              },
              livenessProbe: {
                exec: { command: ['node', '-e', 'process.exit(1)'] },
                periodSeconds: 1,
                failureThreshold: 1,
                timeoutSeconds: 10,
              },
            },
          ],
        }),
        pod('deaf', {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'deaf', image: IMAGE, command: ['node', '-e', 'setInterval(() => 0, 1e6)'], ...security }],
        }),
        // A program of ours that has no handler of its own, as none has while it starts.
        pod('early', {
          containers: [
            {
              ...{ name: 'early', image: IMAGE, ...security },
              command: ['node', '--import', 'data:text/javascript,setInterval(() => 0, 1e6)', '/app/apps/cli/bin/harikube.js', 'version'],
            },
          ],
        }),
      );
      await wait('job/twice', 'condition=Complete');
      await eventually(
        () => client.get(PODS, 'ill', 'stand-in'),
        ({ status }) => (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
        60,
      );
      // Process 1 of a namespace does not hear a signal that it has no handler for.
      await wait('pod/deaf', 'condition=Ready');
      await clusterUnderTest.cluster.kubectl.succeed(['delete', '-n', 'stand-in', 'pod/deaf']);
      expect(clusterUnderTest.node.endings.at(-1)).toMatchObject({ container: 'deaf', exitCode: 137, isKilled: true });
      const log = join(clusterUnderTest.node.logFolder, 'stand-in_early_early.log');
      await eventually(
        () => readFile(log, 'utf8').catch(() => ''),
        (text) => text !== '',
      );
      await clusterUnderTest.cluster.kubectl.succeed(['delete', '-n', 'stand-in', 'pod/early']);
      expect(clusterUnderTest.node.endings.at(-1)).toMatchObject({ container: 'early', exitCode: 143, isKilled: false });
    },
    2 * MINUTES,
  );

  it(
    'fails a Pod that says what it does not know, by name',
    async () => {
      await clusterUnderTest.cluster.kubectl.succeed(['create', 'namespace', 'free']);
      await clusterUnderTest.cluster.kubectl.succeed(['create', '-f', '-'], {
        ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'wide', namespace: 'free' } },
        spec: { hostNetwork: true, containers: [{ name: 'wide', image: IMAGE }] },
      });
      const failed = await eventually(
        () => client.get(PODS, 'wide', 'free'),
        ({ status }) => status?.phase === 'Failed',
      );
      expect(failed.status?.message).toContain('does not know spec.hostNetwork');
      expect(clusterUnderTest.node.problems).toEqual([expect.stringContaining('Pod free/wide')]);
    },
    MINUTES,
  );
});
