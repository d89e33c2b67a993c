import { ArrayMaxSize, IsIn, IsInt, IsOptional, IsString, Max, Min } from 'class-validator';
import { Condition, MAX_CONDITIONS } from './condition.js';
import { Describe, IsTimestamp, List, Nested, NestedList, TextLength } from './schema-facts.js';

const MAX_RESOURCE_VERSION = 128;
const MAX_MESSAGE = 32768;

/** How far a trigger is. */
export class TriggerCursor {
  @Describe('Everything up to this resourceVersion is done with: delivered, filtered out, dropped or sent as a dead letter.')
  @IsString()
  @TextLength(1, MAX_RESOURCE_VERSION)
  resourceVersion!: string;

  @Describe('When that was known to be so.')
  @IsTimestamp()
  time!: string;
}

export class DeliveryCounters {
  @Describe('Events that the watch brought.')
  @IsInt()
  @Min(0)
  received!: number;

  @Describe('Events that eventTypes or eventFilter left out.')
  @IsInt()
  @Min(0)
  filtered!: number;

  @Describe('Events that the receiver took.')
  @IsInt()
  @Min(0)
  delivered!: number;

  @Describe('Attempts after the first of an event.')
  @IsInt()
  @Min(0)
  retried!: number;

  @Describe('Attempts that failed.')
  @IsInt()
  @Min(0)
  failed!: number;

  @Describe('Events that were sent as dead letters.')
  @IsInt()
  @Min(0)
  deadLettered!: number;

  @Describe('Events that were given up.')
  @IsInt()
  @Min(0)
  dropped!: number;
}

export class DeliveryError {
  @Describe('When it was.')
  @IsTimestamp()
  time!: string;

  @Describe('What it was, in one CamelCase word for programs.')
  @IsString()
  @TextLength(0, 1024)
  reason!: string;

  @Describe('What it was, in a sentence for people.')
  @IsString()
  @TextLength(0, MAX_MESSAGE)
  message!: string;

  @Describe('The status code of the answer, when there was one.')
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(999)
  code?: number;
}

export class HTTPTriggerStatus {
  @Describe('When an event could last not be delivered.')
  @IsOptional()
  @IsTimestamp()
  errorTime?: string;

  @Describe('Why it could not.')
  @IsOptional()
  @IsString()
  @TextLength(0, MAX_MESSAGE)
  errorReason?: string;

  @Describe('The resourceVersion of the event that could not be delivered.')
  @IsOptional()
  @IsString()
  @TextLength(0, MAX_RESOURCE_VERSION)
  errorResourceVersion?: string;

  @Describe('The metadata.generation that is served.')
  @IsOptional()
  @IsInt()
  @Min(0)
  lastGeneration?: number;

  @Describe('Running, or Error when it is not Ready.')
  @IsOptional()
  @IsIn(['Running', 'Error'])
  phase?: 'Running' | 'Error';

  @Describe('The metadata.generation that the conditions were said of.')
  @IsOptional()
  @IsInt()
  @Min(0)
  observedGeneration?: number;

  @Describe('How far it is.')
  @IsOptional()
  @Nested(() => TriggerCursor)
  cursor?: TriggerCursor;

  @Describe('Ready, Watching and Delivering; Suspended when it delivers nothing; GapDetected when deletions may have been missed.')
  @IsOptional()
  @NestedList(() => Condition)
  @ArrayMaxSize(MAX_CONDITIONS)
  @List({ type: 'map', keys: ['type'] })
  conditions?: Condition[];

  @Describe('What became of the events so far.')
  @IsOptional()
  @Nested(() => DeliveryCounters)
  counters?: DeliveryCounters;

  @Describe('Events that wait to be delivered.')
  @IsOptional()
  @IsInt()
  @Min(0)
  pending?: number;

  @Describe('When an event was last delivered.')
  @IsOptional()
  @IsTimestamp()
  lastDeliveredTime?: string;

  @Describe('The resourceVersion of the event that was last delivered.')
  @IsOptional()
  @IsString()
  @TextLength(0, MAX_RESOURCE_VERSION)
  lastDeliveredResourceVersion?: string;

  @Describe('The last attempt that failed.')
  @IsOptional()
  @Nested(() => DeliveryError)
  lastError?: DeliveryError;
}
