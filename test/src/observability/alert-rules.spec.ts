import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { alertRules, readRules, REPOSITORY, ruleFiles } from './observability-files.js';
import { promtool } from './prometheus.js';

/** A value each minute, as promtool writes series: `0x60` is 0 for an hour, `0+5x60` rises by 5. */
type Series = Readonly<Record<string, string>>;

interface AlertCase {
  readonly firing: Series;
  /** The labels of the alert beside its severity. */
  readonly labels: Readonly<Record<string, string>>;
  readonly silent: Series;
}

const AT = '60m';
const HERE = 'namespace="a"';
const TRIGGER = 'exported_namespace="shop",name="mail"';
const TRIGGER_LABELS = { exported_namespace: 'shop', name: 'mail' };
const BUCKET = `kine_sql_time_seconds_bucket{${HERE},backend="user"`;
const REGISTRATIONS = `apiserver_request_total{${HERE},resource="registrations"`;
const SLOW = `apiserver_request_duration_seconds_bucket{${HERE},resource="registrations",verb="POST"`;

const CASES: Readonly<Record<string, AlertCase>> = {
  HarikubeRouterAbsent: { firing: { up: '1x60' }, labels: {}, silent: { harikube_writer_active: '1x60' } },
  HarikubeNoWriter: {
    firing: { [`harikube_writer_active{${HERE},pod="r1"}`]: '0x60', [`harikube_writer_active{${HERE},pod="r2"}`]: '0x60' },
    labels: { namespace: 'a' },
    silent: { [`harikube_writer_active{${HERE},pod="r1"}`]: '0x60', [`harikube_writer_active{${HERE},pod="r2"}`]: '1x60' },
  },
  HarikubeBackendDown: {
    firing: { [`harikube_backend_up{${HERE},pod="r",backend="user"}`]: '0x60', [`harikube_writer_active{${HERE},pod="r"}`]: '1x60' },
    labels: { namespace: 'a', backend: 'user' },
    // Of a standby nothing is expected.
    silent: { [`harikube_backend_up{${HERE},pod="r",backend="user"}`]: '0x60', [`harikube_writer_active{${HERE},pod="r"}`]: '0x60' },
  },
  HarikubeCommitsFail: {
    firing: { [`kine_sql_total{${HERE},backend="user",error_code="failed"}`]: '0+1x60' },
    labels: { namespace: 'a', backend: 'user' },
    silent: { [`kine_sql_total{${HERE},backend="user",error_code=""}`]: '0+9x60' },
  },
  HarikubeCommitsSlow: {
    firing: { [`${BUCKET},le="1.024"}`]: '0x60', [`${BUCKET},le="4.096"}`]: '0+60x60', [`${BUCKET},le="+Inf"}`]: '0+60x60' },
    labels: { namespace: 'a', backend: 'user' },
    silent: { [`${BUCKET},le="0.5"}`]: '0+60x60', [`${BUCKET},le="+Inf"}`]: '0+60x60' },
  },
  HarikubeTopologyNotInForce: {
    firing: { [`harikube_topology_held_back_keys{${HERE},pod="r"}`]: '7x60' },
    labels: { namespace: 'a', pod: 'r' },
    silent: {
      [`harikube_topology_held_back_keys{${HERE},pod="r"}`]: '0x60',
      [`harikube_topology_reloads_total{${HERE},pod="r",result="success"}`]: '0+1x60',
    },
  },
  HarikubeTakeoversFrequent: {
    firing: { [`harikube_writer_takeovers_total{${HERE},pod="r"}`]: '0+1x60' },
    labels: { namespace: 'a' },
    silent: { [`harikube_writer_takeovers_total{${HERE},pod="r"}`]: '0x30 1x30' },
  },
  HarikubeCertificateExpires: {
    firing: { [`harikube_tls_certificate_expiry_timestamp_seconds{${HERE},certificate="router"}`]: '600000x60' },
    labels: { namespace: 'a', certificate: 'router' },
    silent: { [`harikube_tls_certificate_expiry_timestamp_seconds{${HERE},certificate="router"}`]: '700000x60' },
  },
  HarikubeOperatorRouterUnreachable: {
    firing: { [`harikube_topology_operator_router_reachable{${HERE},target="a/topology"}`]: '0x60' },
    labels: { namespace: 'a', target: 'a/topology' },
    silent: { [`harikube_topology_operator_router_reachable{${HERE},target="a/topology"}`]: '1x60' },
  },
  HarikubeNoLeader: {
    firing: { [`leader_election_master_status{${HERE},name="user-controller",pod="u1"}`]: '0x60' },
    labels: { namespace: 'a', name: 'user-controller' },
    silent: {
      [`leader_election_master_status{${HERE},name="user-controller",pod="u1"}`]: '0x60',
      [`leader_election_master_status{${HERE},name="user-controller",pod="u2"}`]: '1x60',
    },
  },
  HarikubeReconcilesFail: {
    firing: { [`controller_runtime_reconcile_errors_total{${HERE},controller="user-controller"}`]: '0+30x60' },
    labels: { namespace: 'a', controller: 'user-controller' },
    silent: { [`controller_runtime_reconcile_errors_total{${HERE},controller="user-controller"}`]: '0+1x60' },
  },
  HarikubeQueueGrows: {
    firing: { [`workqueue_depth{${HERE},controller="user-controller"}`]: '101x60' },
    labels: { namespace: 'a', controller: 'user-controller' },
    // A short burst.
    silent: { [`workqueue_depth{${HERE},controller="user-controller"}`]: '0x50 900x10' },
  },
  HarikubeTriggerStalled: {
    firing: {
      [`harikube_trigger_queue_depth{${TRIGGER}}`]: '3x60',
      [`harikube_trigger_deliveries_total{${TRIGGER},result="delivered"}`]: '5x60',
    },
    labels: TRIGGER_LABELS,
    silent: {
      [`harikube_trigger_queue_depth{${TRIGGER}}`]: '3x60',
      [`harikube_trigger_deliveries_total{${TRIGGER},result="delivered"}`]: '0+5x60',
    },
  },
  HarikubeTriggerEventsLost: {
    firing: { [`harikube_trigger_dead_letter_total{${TRIGGER}}`]: '0x55 1x5', [`harikube_trigger_dropped_total{${TRIGGER}}`]: '0x60' },
    labels: TRIGGER_LABELS,
    silent: { [`harikube_trigger_dead_letter_total{${TRIGGER}}`]: '4x60', [`harikube_trigger_dropped_total{${TRIGGER}}`]: '0x60' },
  },
  HarikubeTriggerGap: {
    firing: { [`harikube_trigger_resume_gap_total{${TRIGGER}}`]: '0x30 1x30' },
    labels: TRIGGER_LABELS,
    silent: { [`harikube_trigger_resume_gap_total{${TRIGGER}}`]: '2x60' },
  },
  WebshopApiServerAbsent: { firing: { up: '1x60' }, labels: {}, silent: { [`${REGISTRATIONS},code="201"}`]: '1x60' } },
  WebshopRegistrationsFail: {
    firing: { [`${REGISTRATIONS},code="201"}`]: '0+90x60', [`${REGISTRATIONS},code="503"}`]: '0+10x60' },
    labels: { namespace: 'a' },
    // What was asked for wrongly is not the server's fault.
    silent: { [`${REGISTRATIONS},code="201"}`]: '0+90x60', [`${REGISTRATIONS},code="422"}`]: '0+10x60' },
  },
  WebshopRegistrationsSlow: {
    firing: { [`${SLOW},le="10"}`]: '0+9x60', [`${SLOW},le="20"}`]: '0+10x60', [`${SLOW},le="+Inf"}`]: '0+10x60' },
    labels: { namespace: 'a' },
    silent: { [`${SLOW},le="10"}`]: '0+10x60', [`${SLOW},le="+Inf"}`]: '0+10x60' },
  },
  WebshopAdmissionFails: {
    firing: { [`harikube_admission_decisions_total{${HERE},webhook="/validate",decision="failed"}`]: '0+1x60' },
    labels: { namespace: 'a', webhook: '/validate' },
    silent: {
      [`harikube_admission_decisions_total{${HERE},webhook="/validate",decision="failed"}`]: '1x60',
      [`harikube_admission_decisions_total{${HERE},webhook="/validate",decision="denied"}`]: '0+9x60',
    },
  },
  WebshopPasswordsRefused: {
    firing: { [`harikube_password_hashes_refused_total{${HERE}}`]: '0x55 2x5' },
    labels: { namespace: 'a' },
    silent: { [`harikube_password_hashes_refused_total{${HERE}}`]: '2x60' },
  },
  WebshopMailsFail: {
    firing: {
      [`harikube_email_mails_total{${HERE},result="sent"}`]: '0x60',
      [`harikube_email_mails_total{${HERE},result="temporary"}`]: '0+1x60',
    },
    labels: { namespace: 'a' },
    silent: {
      [`harikube_email_mails_total{${HERE},result="sent"}`]: '0+9x60',
      [`harikube_email_mails_total{${HERE},result="temporary"}`]: '0+1x60',
    },
  },
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'harikube-rules-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** One alert, and whether it fires an hour later. */
function promtoolTest(alertname: string, series: Series, labels: Readonly<Record<string, string>> | null): object {
  const severity = alertRules().find(({ alert }) => alert === alertname)?.labels['severity'];
  return {
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    alert_rule_test: [{ eval_time: AT, alertname, exp_alerts: labels === null ? [] : [{ exp_labels: { ...labels, severity } }] }],
  };
}

describe('the alert rules of the charts', () => {
  it('are what Prometheus takes, each with a severity, a summary, a description and a section of the runbook', async () => {
    expect(await promtool('check', 'rules', ...ruleFiles())).not.toMatch(/FAILED/);
    const runbook = await readFile(join(REPOSITORY, 'docs/runbook.md'), 'utf8');
    const sections = [...runbook.matchAll(/^## (\S+)$/gm)].map(([, name = '']) => name);
    expect(sections).toEqual(alertRules().map(({ alert }) => alert));
    for (const { alert, labels, annotations } of alertRules()) {
      expect(['critical', 'warning']).toContain(labels['severity']);
      expect(Object.keys(annotations)).toEqual(['summary', 'description', 'runbook_url']);
      expect(annotations['runbook_url']).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    }
  });

  it('fire in the bad times that they are about and are silent in good ones', async () => {
    expect(Object.keys(CASES)).toEqual(alertRules().map(({ alert }) => alert));
    // promtool wants every annotation repeated: what is tested here is when an alert fires.
    const groups = ruleFiles().flatMap((file) =>
      readRules(file).groups.map(({ name, rules }) => ({ name, rules: rules.map(({ annotations: _, ...rule }) => rule) })),
    );
    await writeFile(join(folder, 'rules.yaml'), JSON.stringify({ groups }));
    const tests = Object.entries(CASES).flatMap(([alert, { firing, labels, silent }]) => [
      promtoolTest(alert, firing, labels),
      promtoolTest(alert, silent, null),
    ]);
    const file = join(folder, 'tests.yaml');
    await writeFile(file, JSON.stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }));
    expect(await promtool('test', 'rules', file)).toMatch(/SUCCESS/);
  });
});
