import { describe, expect, it } from '@jest/globals';
import { EventFilter } from './event-filter.js';
import { sampleOrder } from './spec/sample-trigger.js';
import type { EventType } from './trigger-event.js';

const TYPES: readonly EventType[] = ['ADDED', 'MODIFIED', 'DELETED'];

function typesOf(eventTypes: EventType[] | undefined): EventType[] {
  const filter = new EventFilter({ eventTypes });
  return TYPES.filter((type) => filter.matches(type, sampleOrder()) === 'yes');
}

describe('EventFilter', () => {
  it('lets the types of events through that are named, and all when none is', () => {
    expect(typesOf(undefined)).toEqual(TYPES);
    expect(typesOf([])).toEqual(TYPES);
    for (const type of TYPES) expect(typesOf([type])).toEqual([type]);
    expect(typesOf(['DELETED', 'ADDED'])).toEqual(['ADDED', 'DELETED']);
  });

  it.each([
    ['eq .spec.customer "Ann"', 'yes'],
    ['eq .spec.customer "Bob"', 'no'],
    ['gt .spec.total 2', 'yes'],
    ['gt .spec.total 3', 'no'],
    ['.spec.total', 'yes'],
    ['.spec.paid', 'no'],
    ['.spec.notes', 'no'],
    ['and (eq .metadata.name "o-1") (not .spec.paid)', 'yes'],
    ['or .spec.paid (eq .spec.customer "Ann")', 'yes'],
    ['eq (index .metadata.labels "tier") "gold"', 'yes'],
    ['eq (len .spec.items) 2', 'yes'],
    ['eq .kind "Order"', 'yes'],
    ['ne .apiVersion "v1"', 'yes'],
    [' true ', 'yes'],
    ['false', 'no'],
    ['0', 'no'],
    ['.spec.big', 'yes'],
    ['get .spec "missing"', 'no'],
    ['and (hasKey .spec "missing") .spec.missing', 'no'],
    ['dig "status" "phase" "" . | eq "Done"', 'no'],
    ['has "b" .spec.items', 'yes'],
    ['hasPrefix "o-" .metadata.name', 'yes'],
    ['eq .spec.big 9007199254740993', 'yes'],
    ['eq .spec.big 9007199254740992', 'no'],
  ])('lets an object through for which %s: %s', (eventFilter, result) => {
    const filter = new EventFilter({ eventFilter });
    expect(filter.problem).toBeNull();
    const spec = { total: 3, customer: 'Ann', paid: false, notes: '', items: ['a', 'b'], big: 9007199254740993n };
    expect(filter.matches('ADDED', sampleOrder(spec))).toBe(result);
  });

  it.each([
    ['.spec.missing', 'map has no entry for key "missing"'],
    ['eq .spec.customer 3', 'incompatible types for comparison'],
    ['index .spec.items 7', 'index out of range'],
    ['lt .spec.items 7', 'invalid type for comparison'],
  ])("says in Go's words why an object cannot be judged by %s", (eventFilter, words) => {
    const result = new EventFilter({ eventFilter }).matches('ADDED', sampleOrder({ customer: 'Ann', items: [] }));
    expect(result).toEqual({ reason: 'TemplateFailed', message: expect.stringContaining('template: eventFilter:1:') });
    expect(result).toMatchObject({ message: expect.stringContaining(words) });
  });

  it.each([
    ['eq .spec.customer "Ann', 'unterminated quoted string'],
    ['nosuch .spec', 'function "nosuch" not defined'],
    ['.spec.total)', 'unexpected'],
    ['', 'missing value for if'],
    ['(eq 1 1', 'unclosed left paren'],
  ])('keeps every event for a condition that is none: %j', (eventFilter, words) => {
    const filter = new EventFilter({ eventFilter, eventTypes: ['ADDED'] });
    expect(filter.problem).toContain(words);
    expect(filter.matches('ADDED', sampleOrder())).toBe('yes');
    expect(filter.matches('DELETED', sampleOrder())).toBe('no');
  });

  it('judges nothing of an event whose type is left out', () => {
    const filter = new EventFilter({ eventFilter: 'lt .spec 1', eventTypes: ['ADDED'] });
    expect(filter.matches('DELETED', sampleOrder())).toBe('no');
  });
});
