import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AGGREGATED_API_VERSION, EMAILS } from '@harikube/crds';
import { KubeClient } from '@harikube/kube';
import { freePort } from '@harikube/local-cluster';
import { readEnv } from '@harikube/platform';
import { eventually } from '../e2e/eventually.js';
import { UpProcess } from '../e2e/up-process.js';
import { until } from '../e2e/until.js';
import { HarikubeProcess } from './harikube-process.js';
import { type Metric, parseMetricPage } from './metric-page.js';
import { alertRules, panelExpressions, REPOSITORY } from './observability-files.js';
import { Prometheus } from './prometheus.js';
import type { CollectedSpan } from './otlp-spans.js';
import { TraceCollector } from './trace-collector.js';

const SECONDS = 1000;
const MINUTES = 60 * SECONDS;
const PASSWORD = 'Canary-Passw0rd';
const EMAIL = 'jane.canary@example.com';
const CALLER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const APPS = [
  'admission-webhook',
  'api-server',
  'email-function',
  'registration-controller',
  'router',
  'tenant-controller',
  'topology-operator',
  'user-controller',
  'watch-trigger',
];
/** What the language itself tells: the same for every program on Node. */
const OF_NODE = /^(process|nodejs)_/;
/** A field in the logs of every program, by what it holds. */
const REQUIRED_FIELDS = ['level', 'time', 'msg'];

/** Selectors that choose nothing in good times, and why. */
const EMPTY_IN_GOOD_TIMES: Readonly<Record<string, string>> = {
  'kine_sql_total{error_code!=""}': 'no commit fails',
  'grpc_server_handled_total{namespace=~".*",grpc_code!="OK"}': 'no call fails',
  'apiserver_request_total{resource="registrations",code=~"5.."}': 'no registration fails',
};
/** Metrics that some programs have only where there are replicas, or where they serve with TLS: not all of them do here. */
const ONLY_IN_A_CLUSTER = ['leader_election_master_status', 'harikube_tls_certificate_expiry_timestamp_seconds'];
/** Labels that Prometheus itself gives in a cluster. */
const TARGET_LABELS = ['namespace', 'pod', 'exported_namespace'];

/** What a `harikube up` says of what it runs. */
interface RunningState {
  readonly routerHealthUrl: string;
  readonly services: readonly { readonly name: string; readonly healthUrl: string }[];
}

let folder: string;
let collector: TraceCollector | undefined;
let up: UpProcess | undefined;
let client: KubeClient;
let extra: HarikubeProcess | undefined;
let spansWhere: (holds: (spans: readonly CollectedSpan[]) => boolean) => Promise<readonly CollectedSpan[]>;
const pages = new Map<string, string>();
const metrics = new Map<string, readonly Metric[]>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-observability-'));
  const data = join(folder, 'data');
  const started = await TraceCollector.start();
  collector = started;
  spansWhere = (holds) => started.until(holds);
  const traces = { OTEL_EXPORTER_OTLP_ENDPOINT: started.endpoint, OTEL_BSP_SCHEDULE_DELAY: '200' };
  up = await UpProcess.start(data, await freePort(), { ...readEnv(), NODE_OPTIONS: '', ...traces }, '--separate');
  client = KubeClient.fromConfig({ kubeconfig: join(data, 'kubeconfig'), userAgent: 'harikube-test', deadlineMs: 70 * SECONDS });
  const state = JSON.parse(await readFile(join(data, 'state.json'), 'utf8')) as RunningState;
  pages.set('router', state.routerHealthUrl);
  for (const { name, healthUrl } of state.services) if (APPS.includes(name)) pages.set(name, healthUrl);
  // Beside the one that works: it elects a leader, and logs as JSON.
  const page = `127.0.0.1:${await freePort()}`;
  extra = HarikubeProcess.start([
    'user-controller',
    '--leader-elect',
    '--log-format=json',
    '--debug',
    `--kubeconfig=${join(data, 'user-controller.kubeconfig')}`,
    `--health-probe-bind-address=${page}`,
    `--metrics-bind-address=${page}`,
  ]);
  const registration = {
    apiVersion: AGGREGATED_API_VERSION,
    kind: 'Registration',
    metadata: { name: 'jane' },
    spec: {
      user: { firstName: 'Jane', lastName: 'Doe', email: EMAIL },
      password: PASSWORD,
      tenant: { country: 'HU', city: 'Budapest', address: 'Main street 1', postalCode: '1011' },
    },
  };
  const headers = { traceparent: CALLER };
  await client.raw('POST', `/apis/${AGGREGATED_API_VERSION}/registrations`, undefined, registration, { headers });
  await until(client, EMAILS, (emails) => [...emails.values()].some(({ status }) => status?.sentTimestamp !== undefined));
  pages.set('a second user-controller', `http://${page}`);
  await eventually(
    () => ok(`http://${page}/readyz`),
    (isReady) => isReady,
  );
  for (const [name, url] of pages) metrics.set(name, parseMetricPage(await (await fetch(`${url}/metrics`)).text()));
}, 5 * MINUTES);

afterAll(async () => {
  await extra?.stop();
  await up?.stop();
  await collector?.close();
  await client.close();
  await rm(folder, { recursive: true });
});

async function ok(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

interface MetricRow {
  readonly name: string;
  readonly type: string;
  readonly labels: string;
  readonly apps: string;
  readonly help: string;
}

/** The table of the documentation. */
function documentedMetrics(document: string): MetricRow[] {
  return document
    .split('\n')
    .filter((line) => /^\| `[a-z_]+` +\| (counter|gauge|histogram)/.test(line))
    .map((line) => {
      const [name = '', type = '', labels = '', apps = '', help = ''] = line
        .split('|')
        .slice(1)
        .map((cell) => cell.trim());
      return { name: name.replaceAll('`', ''), type, labels, apps, help };
    });
}

/** What the apps export, in the same form. Labels are those of the series that there are: none are known where there are none. */
function exportedMetrics(): MetricRow[] {
  const rows = new Map<string, { type: string; labels: Set<string>; apps: Set<string>; help: string }>();
  for (const [app, list] of metrics) {
    for (const { name, type, help, labels } of list.filter((metric) => !OF_NODE.test(metric.name))) {
      const row = rows.get(name) ?? { type, labels: new Set<string>(), apps: new Set<string>(), help };
      rows.set(name, row);
      for (const label of labels) row.labels.add(label);
      row.apps.add(app.replace('a second ', ''));
    }
  }
  return [...rows]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, labels, apps, help }]) => {
      const all = APPS.filter((app) => apps.has(app));
      return { name, type, labels: [...labels].toSorted().join(', '), apps: all.length === APPS.length ? 'all' : all.join(', '), help };
    });
}

/** The selectors of an expression: names of metrics that some program exports, with their matchers. */
function selectorsIn(expression: string): { readonly text: string; readonly name: string; readonly matchers: string }[] {
  const ungrouped = expression.replace(/\b(by|on) \([^)]*\)/g, '');
  return [...ungrouped.matchAll(/\b([a-z][a-z0-9]*_[a-z0-9_]+)(\{[^}]*\})?(?=[\s)[<>=/+-]|$)/g)]
    .map(([text, name = '', matchers = '']) => ({ text, name, matchers }))
    .filter(({ name }) => !['histogram_quantile', 'min_over_time'].includes(name));
}

describe('every app', () => {
  it('is healthy, and tells its build, its process and its own metrics', async () => {
    expect([...pages.keys()].toSorted()).toEqual([...APPS, 'a second user-controller'].toSorted());
    for (const [name, url] of pages) {
      for (const page of ['livez', 'readyz']) expect([name, await ok(`${url}/${page}`)]).toEqual([name, true]);
      const names = metrics.get(name)?.map((metric) => metric.name) ?? [];
      expect(names).toEqual(
        expect.arrayContaining([
          'harikube_build_info',
          'process_resident_memory_bytes',
          'process_start_time_seconds',
          'nodejs_eventloop_lag_p99_seconds',
        ]),
      );
      expect(names.filter((metric) => !OF_NODE.test(metric)).length).toBeGreaterThan(5);
    }
  });

  it('exports what the documentation lists, and no name of a person or an object', async () => {
    const documented = documentedMetrics(await readFile(join(REPOSITORY, 'docs/observability.md'), 'utf8'));
    const exported = exportedMetrics();
    expect(documented.map(({ name }) => name)).toEqual(exported.map(({ name }) => name));
    for (const [index, row] of exported.entries()) {
      const listed = documented[index];
      const labels = row.labels === '' ? listed?.labels : row.labels;
      // With several replicas of each, or with TLS, more programs have it.
      const apps = ONLY_IN_A_CLUSTER.includes(row.name) ? listed?.apps : row.apps;
      expect(listed).toEqual({ ...row, labels, apps });
    }
    for (const url of pages.values()) expect(await (await fetch(`${url}/metrics`)).text()).not.toMatch(/canary|jane/i);
  });

  it('logs JSON with the fields that all share', () => {
    const lines = String(extra?.log)
      .split('\n')
      .filter((line) => line !== '');
    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) {
      const fields = JSON.parse(line) as Record<string, unknown>;
      expect(Object.keys(fields)).toEqual(expect.arrayContaining(REQUIRED_FIELDS));
      expect(['debug', 'info', 'warn', 'error']).toContain(fields['level']);
      expect(new Date(String(fields['time'])).toISOString()).toBe(fields['time']);
    }
  });
});

describe('a registration', () => {
  it('is one trace over all who work on it, under the span of who asked', async () => {
    const spans = await spansWhere((all) =>
      ['create registrations', 'deliver emails'].every((name) => all.some((span) => span.name === name)),
    );
    const traceId = CALLER.slice(3, 35);
    const ours = spans.filter((span) => span.traceId === traceId);
    const byId = new Map(ours.map((span) => [span.spanId, span]));
    const parentsOf = (service: string, name: string): (string | undefined)[] =>
      ours
        .filter((span) => span.service === `harikube-${service}` && span.name === name)
        .map(({ parentSpanId = '' }) => byId.get(parentSpanId)?.name ?? parentSpanId);
    expect(parentsOf('api-server', 'create registrations')).toEqual([CALLER.slice(36, 52)]);
    const of = (service: string, name: string): Set<string | undefined> => new Set(parentsOf(service, name));
    expect(of('registration-controller', 'reconcile registration-controller')).toEqual(new Set(['create registrations']));
    expect(of('tenant-controller', 'reconcile tenant-controller')).toEqual(new Set(['reconcile registration-controller']));
    expect(of('user-controller', 'reconcile user-controller')).toEqual(new Set(['reconcile registration-controller']));
    expect(of('watch-trigger', 'deliver emails')).toEqual(new Set(['reconcile registration-controller']));
    expect(of('email-function', 'send-email')).toEqual(new Set(['deliver emails']));
    expect(of('email-function', 'smtp send')).toEqual(new Set(['send-email']));
    expect(of('admission-webhook', 'admission mutate')).toContain('POST registrationrequests');
    // Each other one is of a registration too: the one by which `up` finds out whether they pass.
    const others = spans.filter((span) => span.traceId !== traceId && (span.parentSpanId ?? '') === '');
    expect(new Set(others.map(({ name }) => name))).toEqual(new Set(others.length === 0 ? [] : ['create registrations']));
    expect(JSON.stringify(spans)).not.toMatch(/canary|Budapest|Doe/i);
  });
});

describe('Prometheus', () => {
  it('has a series for every selector of the rules and a value for every panel, but for those of bad times', async () => {
    const targets = [...pages].map(([name, url]) => ({ pod: name.replaceAll(' ', '-'), address: new URL(url).host }));
    const prometheus = await Prometheus.start(targets);
    try {
      await eventually(
        // Two scrapes, as a rate needs them.
        () => prometheus.count('count_over_time(up[5m]) > 1'),
        (scraped) => scraped === targets.length,
      );
      const missing: string[] = [];
      const rules = alertRules().map(({ alert, expr }) => ({ where: alert, expr }));
      const panels = panelExpressions().map(({ panel, expr }) => ({ where: panel, expr }));
      for (const { where, expr } of [...rules, ...panels]) {
        const selectors = selectorsIn(expr);
        expect(selectors.length).toBeGreaterThan(0);
        for (const { text, name, matchers } of selectors) {
          if (!(text in EMPTY_IN_GOOD_TIMES) && (await prometheus.count(text)) === 0) missing.push(`${where}: ${text}`);
          const asked = [...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, label = '']) => label);
          for (const label of asked) {
            const has = await prometheus.count(`${name}{${label}!=""}`);
            if (has === 0 && !(text in EMPTY_IN_GOOD_TIMES)) missing.push(`${where}: ${name} has no label ${label}`);
          }
        }
        const groups = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(', '));
        const known = new Set(selectors.flatMap(({ name }) => labelsOf(name)));
        for (const label of groups)
          if (!known.has(label) && !TARGET_LABELS.includes(label) && label !== 'le') missing.push(`${where}: no label ${label}`);
      }
      for (const { where, expr } of panels) {
        const isOfBadTimes = selectorsIn(expr).some(({ text }) => text in EMPTY_IN_GOOD_TIMES);
        if (!isOfBadTimes && (await prometheus.count(expr)) === 0) missing.push(`${where} shows nothing`);
      }
      expect(missing).toEqual([]);
      // All is well here: no rule fires, but those that only an hour or more of history can tell.
      for (const { alert, expr } of alertRules()) expect([alert, await prometheus.count(expr)]).toEqual([alert, 0]);
    } finally {
      await prometheus.stop();
    }
  });
});

/** The labels under which any program exports a metric, as Prometheus keeps them. */
function labelsOf(name: string): string[] {
  const plain = name.replace(/_(bucket|sum|count)$/, '');
  return [...metrics.values()].flat().flatMap((metric) => (metric.name === name || metric.name === plain ? [...metric.labels] : []));
}
