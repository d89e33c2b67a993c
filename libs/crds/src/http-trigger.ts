import { ArrayMaxSize, IsBoolean, IsIn, IsInt, IsOptional, IsString, Matches, Max, Min } from 'class-validator';
import type { Resource } from '@harikube/kube';
import { TriggerAuth, TriggerBody, TriggerHeaders, TriggerUrl } from './http-trigger-request.js';
import { HTTPTriggerStatus } from './http-trigger-status.js';
import { CustomObject, Kind } from './kind.js';
import { TRIGGERS } from './kind-group.js';
import { TRIGGERS_GROUP, VERSION } from './names.js';
import { Default, Describe, IsDuration, List, Nested, ObjectRule, TextLength, ValueList } from './schema-facts.js';
import { API_VERSION_TEXT, DNS_LABEL, HTTP_URL, KIND_NAME, SINGLE_LINE } from './text-patterns.js';

const EVENT_TYPES = ['ADDED', 'MODIFIED', 'DELETED'] as const;
const ONE_LINE = 'must be one line without control characters';

export class WatchedResource {
  @Describe('Group and version of the kind, such as apps/v1, or v1.')
  @IsString()
  @TextLength(1, 317)
  @Matches(API_VERSION_TEXT, { message: 'must be a version such as v1, or a group and a version such as apps/v1' })
  apiVersion!: string;

  @Describe('The kind, such as Deployment.')
  @IsString()
  @TextLength(1, 63)
  @Matches(KIND_NAME, { message: 'must be a kind such as Deployment' })
  kind!: string;
}

export class Delivery {
  @Describe('How long an attempt may take in all.')
  @IsDuration('100ms', '10m')
  @Default('10s')
  timeout!: string;

  @Describe('Attempts after the first.')
  @IsInt()
  @Min(1)
  @Max(100)
  @Default(1)
  retries!: number;
}

@ObjectRule({ rule: 'duration(self.initialDelay) <= duration(self.maxDelay)', message: 'initialDelay is at most maxDelay' })
export class RetryPolicy {
  @Describe('How the delay grows from one attempt to the next: it doubles, or grows by initialDelay. A random part of it is waited.')
  @IsIn(['Exponential', 'Linear'])
  @Default('Exponential')
  backoff!: 'Exponential' | 'Linear';

  @Describe('The delay before the second attempt.')
  @IsDuration('10ms', '1h')
  @Default('1s')
  initialDelay!: string;

  @Describe('The longest delay.')
  @IsDuration('10ms', '24h')
  @Default('30s')
  maxDelay!: string;

  @Describe('The longest delay that a Retry-After of the receiver can ask for.')
  @IsDuration('0s', '24h')
  @Default('5m')
  maxRetryAfter!: string;

  @Describe('How long after it came an event is tried at all. Absent: as often as delivery.retries says.')
  @IsOptional()
  @IsDuration('1s', '8760h')
  maxAge?: string;

  @Describe('Status codes that are temporary besides 408, 409, 425, 429 and those from 500 on, such as 404.')
  @IsOptional()
  @ValueList(IsInt(), Min(400), Max(599))
  @ArrayMaxSize(32)
  @List({ type: 'set' })
  retryOn?: number[];
}

export class DeadLetter {
  @Describe(
    'What becomes of an event that cannot be delivered and has no url to go to. Block: it is tried on and on, and the events of its object wait. ' +
      'Drop: it is counted and gone. Suspend: the trigger stops until its spec is changed.',
  )
  @IsIn(['Block', 'Drop', 'Suspend'])
  @Default('Block')
  policy!: 'Block' | 'Drop' | 'Suspend';

  @Describe('Where an event is sent that cannot be delivered, with the reason in headers.')
  @IsOptional()
  @IsString()
  @TextLength(8, 2048)
  @Matches(HTTP_URL, { message: 'must be a URL that begins with http:// or https://, in ASCII without blanks: encode other characters' })
  url?: string;
}

export class RateLimit {
  @Describe('Attempts per second.')
  @IsInt()
  @Min(1)
  @Max(10000)
  requestsPerSecond!: number;

  @Describe('Attempts at once after a time without any.')
  @IsInt()
  @Min(1)
  @Max(10000)
  @Default(1)
  burst!: number;
}

export class HTTPTriggerSpec {
  @Describe('What is watched.')
  @Nested(() => WatchedResource)
  resource!: WatchedResource;

  @Describe('The namespaces whose objects are watched. Absent or empty: all.')
  @IsOptional()
  @ValueList(IsString(), TextLength(1, 63), Matches(DNS_LABEL, { message: 'must be the name of a namespace' }))
  @ArrayMaxSize(64)
  @List({ type: 'set' })
  namespaces?: string[];

  @Describe('Label selectors, all of which an object has to match, such as tier in (web, api).')
  @IsOptional()
  @ValueList(IsString(), TextLength(1, 1024), Matches(SINGLE_LINE, { message: ONE_LINE }))
  @ArrayMaxSize(32)
  @List({ type: 'atomic' })
  labelSelectors?: string[];

  @Describe('Field selectors, all of which an object has to match, such as metadata.name=web.')
  @IsOptional()
  @ValueList(IsString(), TextLength(1, 1024), Matches(SINGLE_LINE, { message: ONE_LINE }))
  @ArrayMaxSize(32)
  @List({ type: 'atomic' })
  fieldSelectors?: string[];

  @Describe('The events that are delivered. Absent or empty: all.')
  @ValueList(IsIn([...EVENT_TYPES]))
  @ArrayMaxSize(3)
  @List({ type: 'set' })
  @Default([...EVENT_TYPES])
  eventTypes?: ('ADDED' | 'MODIFIED' | 'DELETED')[];

  @Describe('A condition of Go templates, such as eq .spec.phase "Done": only events whose object makes it true are delivered.')
  @IsOptional()
  @IsString()
  @TextLength(1, 4096)
  eventFilter?: string;

  @Describe('Most attempts at once. The events of one object are delivered one after another in any case.')
  @IsInt()
  @Min(1)
  @Max(100)
  @Default(1)
  concurrency!: number;

  @Describe('Whether the objects that are there at the start are delivered as ADDED.')
  @IsBoolean()
  @Default(false)
  sendInitialEvents!: boolean;

  @Describe('Whether nothing is delivered for the time being. What happens meanwhile is delivered afterwards.')
  @IsBoolean()
  @Default(false)
  suspend!: boolean;

  @Describe('Where the events are sent.')
  @Nested(() => TriggerUrl)
  url!: TriggerUrl;

  @Describe('The HTTP method.')
  @IsIn(['GET', 'POST', 'PUT', 'PATCH'])
  @Default('POST')
  method!: 'GET' | 'POST' | 'PUT' | 'PATCH';

  @Describe('How the trigger proves who it is, and how the receiver does.')
  @IsOptional()
  @Nested(() => TriggerAuth)
  auth?: TriggerAuth;

  @Describe('Headers of the request.')
  @IsOptional()
  @Nested(() => TriggerHeaders)
  headers?: TriggerHeaders;

  @Describe('Body of the request. Absent: it has none.')
  @IsOptional()
  @Nested(() => TriggerBody)
  body?: TriggerBody;

  @Describe('How long and how often an event is tried.')
  @Nested(() => Delivery)
  @Default({})
  delivery!: Delivery;

  @Describe('When an event is tried again.')
  @IsOptional()
  @Nested(() => RetryPolicy)
  retryPolicy?: RetryPolicy;

  @Describe('What becomes of an event that cannot be delivered. Absent: it is tried on and on.')
  @IsOptional()
  @Nested(() => DeadLetter)
  deadLetter?: DeadLetter;

  @Describe('Most attempts in a time. Absent: as many as there are.')
  @IsOptional()
  @Nested(() => RateLimit)
  rateLimit?: RateLimit;
}

const ofCondition = (type: string): string => `.status.conditions[?(@.type=="${type}")].status`;

@Kind({
  group: TRIGGERS,
  plural: 'httptriggers',
  singular: 'httptrigger',
  namespaced: true,
  shortNames: ['httptrg'],
  description:
    'Sends what happens to the objects of a kind to an HTTP server, each event at least once, and those of one object in their order.',
  columns: [
    { name: 'Kind', type: 'string', jsonPath: '.spec.resource.kind', description: 'The kind that is watched' },
    { name: 'Ready', type: 'string', jsonPath: ofCondition('Ready'), description: 'Whether it watches and delivers' },
    { name: 'Suspended', type: 'string', jsonPath: ofCondition('Suspended'), description: 'Whether it delivers nothing', priority: 1 },
    { name: 'ErrorTime', type: 'date', jsonPath: '.status.errorTime', description: 'Time since an event could last not be delivered' },
    { name: 'ErrorReason', type: 'string', jsonPath: '.status.errorReason', description: 'Why it could not' },
    {
      name: 'ErrorResourceVersion',
      type: 'string',
      jsonPath: '.status.errorResourceVersion',
      description: 'The resourceVersion of that event',
    },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was made' },
  ],
  selectable: ['spec.resource.apiVersion', 'spec.resource.kind'],
  // Who writes a trigger reads, by way of it, whatever the program that serves triggers may read: that is more than the editor of a namespace has.
  roles: { viewer: 'aggregated', editor: 'separate' },
})
export class HTTPTrigger extends CustomObject {
  @Describe('What is watched and where it is sent.')
  @Nested(() => HTTPTriggerSpec)
  spec!: HTTPTriggerSpec;

  @Describe('How far it is.')
  @IsOptional()
  @Nested(() => HTTPTriggerStatus)
  status?: HTTPTriggerStatus;
}

export const HTTP_TRIGGERS: Resource<HTTPTrigger> = {
  group: TRIGGERS_GROUP,
  version: VERSION,
  kind: 'HTTPTrigger',
  plural: 'httptriggers',
  namespaced: true,
};
