import { ArrayMaxSize, IsIn, IsInt, IsOptional, IsString, Min } from 'class-validator';
import { Condition, MAX_CONDITIONS } from './condition.js';
import { Default, Describe, IsTimestamp, List, NestedList, TextLength } from './schema-facts.js';

/** Most backends that one TopologyConfig names. */
export const MAX_BACKENDS = 128;

/** What a database holds, as the router last said. */
export class BackendUsage {
  @Describe('Name of the backend.')
  @IsString()
  @TextLength(1, 63)
  name!: string;

  @Describe('Live keys in the database of the backend. Absent: not known.')
  @IsOptional()
  @IsInt()
  @Min(0)
  keys?: number;

  @Describe('Bytes that the database of the backend takes, indexes and history included. Absent: not known.')
  @IsOptional()
  @IsInt()
  @Min(0)
  bytes?: number;
}

/** Data that was given up. */
export class AbandonedData {
  @Describe('Name of the backend.')
  @IsString()
  @TextLength(1, 63)
  name!: string;

  @Describe('Keys that were in it, as far as the router knew.')
  @IsInt()
  @Min(0)
  keys!: number;

  @Describe('When it was given up.')
  @IsTimestamp()
  time!: string;
}

export class TopologyConfigStatus {
  @Describe('Place among the TopologyConfigs of the target, whose rules are tried in this order.')
  @IsOptional()
  @IsInt()
  @Min(0)
  deployOrder?: number;

  @Describe(
    'Active: the router has taken the rules up, and objects of these kinds can be written. Pending: it has not yet. Held: taking them up, or ' +
      'letting them go, would leave data behind, and the ones before stay in force. Error: they cannot be used.',
  )
  @IsIn(['Pending', 'Active', 'Held', 'Error'])
  @Default('Pending')
  deployStatus!: 'Pending' | 'Active' | 'Held' | 'Error';

  @Describe('Why, in a sentence.')
  @IsOptional()
  @IsString()
  @TextLength(0, 32768)
  deployStatusReason?: string;

  @Describe('The metadata.generation that the conditions were said of.')
  @IsOptional()
  @IsInt()
  @Min(0)
  observedGeneration?: number;

  @Describe('Valid: the rules can be used. Merged: they are in the target Secret. Active: the router has them in force.')
  @IsOptional()
  @NestedList(() => Condition)
  @ArrayMaxSize(MAX_CONDITIONS)
  @List({ type: 'map', keys: ['type'] })
  conditions?: Condition[];

  @Describe('What the databases hold.')
  @IsOptional()
  @NestedList(() => BackendUsage)
  @ArrayMaxSize(MAX_BACKENDS)
  @List({ type: 'map', keys: ['name'] })
  backends?: BackendUsage[];

  @Describe('Data that was given up at the request of the annotation harikube.info/abandon-data.')
  @IsOptional()
  @NestedList(() => AbandonedData)
  @ArrayMaxSize(MAX_BACKENDS)
  @List({ type: 'map', keys: ['name'] })
  abandoned?: AbandonedData[];
}
