import { IsIn, IsInt, IsOptional, IsString, Matches, Min } from 'class-validator';
import { Describe, IsTimestamp, TextLength } from './schema-facts.js';
import { CONDITION_REASON, CONDITION_TYPE } from './text-patterns.js';

/** Most conditions that an object has. */
export const MAX_CONDITIONS = 16;

/** Kubernetes' `meta/v1.Condition`. */
export class Condition {
  @Describe('What is being said, in CamelCase.')
  @IsString()
  @TextLength(1, 316)
  @Matches(CONDITION_TYPE)
  type!: string;

  @Describe('Whether it is so.')
  @IsIn(['True', 'False', 'Unknown'])
  status!: 'True' | 'False' | 'Unknown';

  @Describe('The metadata.generation that this was said of. Older than the present one: it may not be so any more.')
  @IsOptional()
  @IsInt()
  @Min(0)
  observedGeneration?: number;

  @Describe('When the status last changed.')
  @IsTimestamp()
  lastTransitionTime!: string;

  @Describe('Why, in one CamelCase word for programs.')
  @IsString()
  @TextLength(1, 1024)
  @Matches(CONDITION_REASON)
  reason!: string;

  @Describe('Why, in a sentence for people.')
  @IsString()
  @TextLength(0, 32768)
  message!: string;
}
