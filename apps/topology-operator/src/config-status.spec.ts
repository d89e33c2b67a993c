import { describe, expect, it } from '@jest/globals';
import type { Condition, TopologyConfig } from '@harikube/crds';
import type { RouterTopologyState } from '@harikube/platform';
import { conditionsOf, type StatusView, usageOf, type Verdict, verdictOf } from './config-status.js';
import type { RefusalReason } from './merge-topology.js';

const NOW = new Date('2026-01-02T03:04:05Z');
const condition = (type: string, status: Condition['status'], observedGeneration: number): Condition => ({
  type,
  status,
  observedGeneration,
  reason: 'Confirmed',
  message: '',
  lastTransitionTime: '2026-01-01T00:00:00Z',
});

const config = (conditions: Condition[] = []): TopologyConfig => ({
  apiVersion: 'harikube.info/v1',
  kind: 'TopologyConfig',
  metadata: { name: 'a', namespace: 'ns', uid: 'u', generation: 2 },
  spec: { targetSecret: 'harikube/topology-config', backends: [] },
  status: { deployStatus: 'Pending', conditions },
});

const ACTIVE = config([condition('Active', 'True', 2)]);
const OUTDATED = config([condition('Active', 'True', 1)]);

function state(more: Partial<RouterTopologyState> = {}): StatusView['router'] {
  const backends = [{ name: 'a', endpoint: '', isReady: true, problem: '', keys: 3, bytes: null }];
  return {
    kind: 'seen',
    state: {
      version: 'other',
      source: 'secret://harikube/topology-config',
      sourceVersion: null,
      inForceSince: '',
      document: '',
      backends,
      ...more,
    },
  };
}

const IN_FORCE = state({ version: 'mine' });
const failed = (moves: RouterTopologyState['backends'][number]['keys']): StatusView['router'] =>
  state({
    error: {
      time: '',
      message: 'it cannot',
      version: 'mine',
      moves: moves === null ? [] : [{ from: 'main', to: 'a', keys: moves, bytes: 1, example: '/k' }],
    },
  });

function verdict(view: Partial<StatusView> = {}): Verdict {
  return verdictOf({
    config: config(),
    target: 'harikube/topology-config',
    targetProblem: null,
    entry: { key: '1-a.yaml', order: 1, generation: 2 },
    version: 'mine',
    refusal: null,
    departure: null,
    router: IN_FORCE,
    backends: ['a'],
    ...view,
  });
}

/** `Valid Merged Active deployStatus` */
const summary = (view: Partial<StatusView>): string => {
  const { valid, merged, active, deployStatus } = verdict(view);
  return [valid.status, merged.status, active.status, deployStatus].join(' ');
};

const refused = (reason: RefusalReason): Partial<StatusView> => ({
  refusal: { reason, message: 'no' },
  entry: { key: '1-a.yaml', order: 1, generation: 1 },
});

describe('verdictOf', () => {
  it.each<[string, Partial<StatusView>, string]>([
    ['the router has the version in force', {}, 'True True True Active'],
    ['the router has another version in force', { router: state() }, 'True True False Pending'],
    ['the router has another one, and had confirmed this generation', { config: ACTIVE, router: state() }, 'True True True Active'],
    [
      'the router has another one, and had confirmed an earlier generation',
      { config: OUTDATED, router: state() },
      'True True False Pending',
    ],
    ['the router has lost the backend', { config: ACTIVE, router: state({ backends: [] }) }, 'True True False Pending'],
    ['the router is away', { router: { kind: 'unreachable', message: 'x' } }, 'True True Unknown Pending'],
    [
      'the router is away, and had confirmed this generation',
      { config: ACTIVE, router: { kind: 'unreachable', message: 'x' } },
      'True True True Active',
    ],
    ['nobody can be asked', { config: ACTIVE, router: { kind: 'none', message: 'x' } }, 'True True Unknown Pending'],
    ['the router finds keys in the way', { router: failed(4) }, 'True True False Held'],
    ['the router refuses the version', { router: failed(null) }, 'True True False Error'],
    ['the rules are invalid', refused('InvalidTopology'), 'False False False Error'],
    ['the annotation is invalid', refused('InvalidDeployOrder'), 'False False False Error'],
    ['a reference leads nowhere', refused('SecretNotReady'), 'False False False Error'],
    ['there are too many', refused('TooLarge'), 'False False False Error'],
    ['data would have to move', refused('DataWouldMove'), 'True False False Held'],
    ['the router does not want them', refused('RouterRefused'), 'True False False Error'],
    ['the router cannot judge them', refused('RouterUnreachable'), 'True False False Pending'],
    ['the target is of somebody else', { targetProblem: { reason: 'TargetConflict', message: 'x' } }, 'True False False Error'],
    ['an earlier generation is in the Secret', { entry: { key: '1-a.yaml', order: 1, generation: 1 } }, 'True False False Pending'],
    ['nothing is in the Secret', { entry: undefined }, 'True False False Pending'],
    ['it is deleted and data is left', { departure: { do: 'hold', message: 'x' } }, 'True True True Held'],
    ['it is deleted and leaves', { departure: { do: 'leave', message: 'x' }, entry: undefined }, 'True False False Pending'],
    [
      'it is deleted, and to let it go would hide keys',
      { ...refused('DataWouldMove'), departure: { do: 'leave', message: 'x' } },
      'True False False Held',
    ],
  ])('says so when %s', (_, view, expected) => {
    expect(summary(view)).toBe(expected);
  });

  it('says why, and what stays', () => {
    expect(verdict(refused('InvalidTopology')).deployStatusReason).toBe('no; the rules of generation 1 stay in harikube/topology-config');
    expect(verdict({ ...refused('InvalidTopology'), entry: undefined }).deployStatusReason).toBe('no');
    expect(verdict({ router: failed(4) }).deployStatusReason).toBe(
      '4 keys (1 bytes) in "main" would have to be in "a", such as /k; delete these objects first, since keys are not moved',
    );
    expect(verdict({ router: failed(null) }).deployStatusReason).toBe('the router has not taken the rules up: it cannot');
    expect(verdict({ router: state() }).deployStatusReason).toBe(
      'the router has not taken the rules up yet; it reads secret://harikube/topology-config',
    );
    expect(verdict().deployStatusReason).toBe('');
    expect(verdict().merged.message).toBe('the rules are in harikube/topology-config as 1-a.yaml');
  });
});

describe('conditionsOf', () => {
  it('says the three conditions of this generation, and nothing when they are said', () => {
    const said = conditionsOf(config(), verdict(), NOW);
    expect(said.map(({ type, status, observedGeneration }) => [type, status, observedGeneration])).toEqual([
      ['Valid', 'True', 2],
      ['Merged', 'True', 2],
      ['Active', 'True', 2],
    ]);
    const again = config(said);
    expect(conditionsOf(again, verdict(), new Date(0))).toBe(again.status?.conditions);
  });
});

describe('usageOf', () => {
  const view = (router: StatusView['router'], backends = ['a', 'b']): StatusView => ({
    config: config(),
    target: '',
    targetProblem: null,
    entry: undefined,
    version: '',
    refusal: null,
    departure: null,
    router,
    backends,
  });

  it('tells what the router knows of its backends', () => {
    expect(usageOf(view(IN_FORCE))).toEqual([{ name: 'a', keys: 3 }]);
  });

  it('tells nothing where it cannot be asked', () => {
    expect(usageOf(view({ kind: 'unreachable', message: '' }))).toBeUndefined();
  });
});
