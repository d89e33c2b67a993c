import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { HTTPTrigger } from '@harikube/crds';
import { FakeClock } from '@harikube/kube/fake-clock';
import { AddressPolicy } from './address-policy.js';
import { FakeReferences } from './spec/fake-references.js';
import { sampleEvent, sampleTrigger } from './spec/sample-trigger.js';
import { TargetServer } from './spec/target-server.js';
import { type SenderOptions, type TriggerPolicy, TriggerSender } from './trigger-sender.js';

let target: TargetServer;
let clock: FakeClock;
let references: FakeReferences;
const senders: TriggerSender[] = [];
const signal = new AbortController().signal;

const POLICY: TriggerPolicy = {
  allowsInsecureTls: false,
  allowsTemplatedHosts: false,
  allowsSecretData: false,
  allowsOtherNamespaces: true,
};

function senderOf(spec: Partial<HTTPTrigger['spec']> = {}, options: Partial<SenderOptions> = {}): TriggerSender {
  const trigger = sampleTrigger({ url: { static: `http://127.0.0.1:${target.port}/hook` }, ...spec });
  const addresses = new AddressPolicy({ allowedTargets: ['127.0.0.0/8'] });
  const sender = new TriggerSender(trigger, { references, addresses, policy: POLICY, clock, userAgent: 'spec/1', ...options });
  senders.push(sender);
  return sender;
}

beforeEach(async () => {
  target = await TargetServer.start();
  clock = new FakeClock();
  references = new FakeReferences();
});

afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.close()));
  await target.close();
});

describe('TriggerSender', () => {
  it('sends an event as one request, and calls an answer of 2xx delivered', async () => {
    const sender = senderOf({ body: { contentType: 'application/json', template: '{"name":"{{ .metadata.name }}"}' } });
    expect(await sender.send(sampleEvent(), 1, signal)).toEqual({ outcome: 'delivered', code: 204 });
    const { method, url, headers, body } = target.last;
    expect([method, url, body]).toEqual(['POST', '/hook', '{"name":"o-1"}']);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'spec/1',
      'ce-id': 'c0ffee',
      'x-delivery-attempt': '1',
    });
    expect(sender.problems()).toEqual([]);
  });
});
