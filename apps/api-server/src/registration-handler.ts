import { randomInt } from 'node:crypto';
import { normalizeEmail, REGISTRATION_REQUESTS, type RegistrationRequest } from '@harikube/crds';
import { type Clock, type KubeClient, StatusError, systemClock } from '@harikube/kube';
import type { CreateOptions } from './create-options.js';
import type { FairLimit } from './fair-limit.js';
import { type AskedRegistration, type Registration, registrationOf, requestOf } from './registration.js';
import {
  failureStatus,
  goingStatus,
  isComplete,
  isFailed,
  lostStatus,
  nameTakenStatus,
  pendingStatus,
  removedStatus,
} from './registration-outcome.js';
import type { Outcome, RegistrationWaiter } from './registration-waiter.js';
import { ofOwnKind } from './request-error.js';
import { alreadyExists, unavailable } from './status-answer.js';
import type { UserInfo } from './user-info.js';

export interface RegistrationCall {
  readonly asked: AskedRegistration;
  readonly options: CreateOptions;
  readonly user: UserInfo;
  readonly auditId: string;
  /** W3C's, of the span of the request; undefined: none. */
  readonly traceparent?: string | undefined;
  /** How long the caller waits for the result. */
  readonly waitMs: number;
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal;
  /** Called when nothing is left to do but to wait. */
  readonly onWaiting: () => void;
}

export interface RegistrationHandlerOptions {
  readonly client: Pick<KubeClient, 'create' | 'get'>;
  readonly waiter: Pick<RegistrationWaiter, 'expect' | 'knows'>;
  /** Of calls that wait. */
  readonly seats: FairLimit;
  /** Of creates under way: each costs a hash of a password in admission, which answers within ten seconds or not at all. */
  readonly creates: FairLimit;
  readonly clock?: Clock;
}

const EMAIL_FIELD = 'spec.user.email';
/** Without vowels and what looks like others: no words, no mistakes. */
const NAME_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';
const NAME_CHARACTERS_COUNT = 5;
const MAX_GENERATED_BASE = 63 - NAME_CHARACTERS_COUNT;
const MAX_NAMES = 8;
/** A request of the name that is there and, when asked for, gone again. */
const MAX_RACES = 3;

/** Makes a RegistrationRequest of what is asked for, and waits for what becomes of it. */
export class RegistrationHandler {
  readonly #options: Required<RegistrationHandlerOptions>;
  readonly #draining = new AbortController();
  #isClosed = false;

  constructor({ clock = systemClock, ...options }: RegistrationHandlerOptions) {
    this.#options = { ...options, clock };
  }

  /** Resolves when Tenant and User are there; throws a `StatusError` that says why they are not. */
  async create(call: RegistrationCall): Promise<Registration> {
    const { asked, options, user, signal } = call;
    if (options.isDryRun) {
      const name = asked.name === '' ? generatedName(asked.generateName) : asked.name;
      return registrationOf(await this.#store(call, name));
    }
    if (this.#isClosed) throw stopping();
    const leave = await this.#options.seats.enter(user.name, signal);
    try {
      if (asked.name !== '') return await this.#register(call, asked.name, true);
      for (let names = 1; ; names++) {
        const name = generatedName(asked.generateName);
        try {
          return await this.#register(call, name, false);
        } catch (error) {
          if (!(error instanceof NameExistsError)) throw error;
          if (names === MAX_NAMES) throw alreadyExists(name, 'no name that is free was found; repeat the request');
        }
      }
    } finally {
      leave();
    }
  }

  /** Sends those who wait away; their registrations go on. Nothing is begun any more. */
  endWaits(): void {
    this.#isClosed = true;
    this.#draining.abort();
  }

  async #register(call: RegistrationCall, name: string, mayJoin: boolean): Promise<Registration> {
    const { clock, waiter } = this.#options;
    const start = clock.monotonic();
    // Before the create: see RegistrationWaiter.
    const expected = waiter.expect(name);
    try {
      const request = await this.#storeOrJoin(call, name, mayJoin);
      call.onWaiting();
      const limit = AbortSignal.any([call.signal, this.#draining.signal]);
      const left = call.waitMs - (clock.monotonic() - start);
      const outcome = await expected.outcome(request.metadata.uid ?? '', left, limit);
      return resultOf(name, outcome, Math.round(call.waitMs / 1000));
    } catch (error) {
      if (this.#draining.signal.aborted && !call.signal.aborted && !(error instanceof StatusError)) throw stopping();
      throw error;
    } finally {
      expected.close();
    }
  }

  async #storeOrJoin(call: RegistrationCall, name: string, mayJoin: boolean): Promise<RegistrationRequest> {
    for (let races = 1; ; races++) {
      // Admission hashes the password of what is created before anybody finds that its name exists: a repeat need not cost that.
      const isRepeat = mayJoin && races === 1 && this.#options.waiter.knows(name);
      try {
        if (!isRepeat) return await this.#store(call, name);
      } catch (error) {
        if (!mayJoin || !(error instanceof NameExistsError || isAddressTaken(error))) throw error;
        if (isAddressTaken(error)) {
          // Perhaps by this very request, which the watch has not shown: admission is asked before the store, which knows the name.
          const own = await this.#read(call, name);
          if (own === null || !isSamePerson(own, call)) throw error;
        }
      }
      const existing = await this.#read(call, name);
      if (existing !== null) return joined(existing, call);
      if (races === MAX_RACES) throw unavailable(`registrations of the name "${name}" come and go; repeat the request`, 1);
    }
  }

  async #store(call: RegistrationCall, name: string): Promise<RegistrationRequest> {
    const { asked, options, user, auditId, traceparent, signal } = call;
    const leave = await this.#options.creates.enter(user.name, signal);
    try {
      return await this.#options.client.create(REGISTRATION_REQUESTS, requestOf(asked, name, { user: user.name, auditId, traceparent }), {
        fieldManager: options.fieldManager,
        // What is unknown was found before; kube-apiserver drops it.
        fieldValidation: 'Ignore',
        dryRun: options.isDryRun,
      });
    } catch (error) {
      if (error instanceof StatusError && error.isAlreadyExists) throw options.isDryRun ? alreadyExists(name) : new NameExistsError();
      throw ofOwnKind(error, passwordOf(asked.spec));
    } finally {
      leave();
    }
  }

  async #read({ signal }: RegistrationCall, name: string): Promise<RegistrationRequest | null> {
    try {
      return await this.#options.client.get(REGISTRATION_REQUESTS, name, undefined, { signal });
    } catch (error) {
      if (error instanceof StatusError && error.isNotFound) return null;
      throw ofOwnKind(error, null);
    }
  }
}

class NameExistsError extends Error {
  override readonly name = 'NameExistsError';
}

/** The same person's request, repeated. The password is no part of the comparison: what is stored is its hash. */
function joined(existing: RegistrationRequest, call: RegistrationCall): RegistrationRequest {
  const name = existing.metadata.name ?? '';
  if (!isSamePerson(existing, call)) throw nameTakenStatus(name);
  if (isFailed(existing)) throw failureStatus(existing, true);
  if (existing.metadata.deletionTimestamp !== undefined && !isComplete(existing)) throw goingStatus(name);
  return existing;
}

function isSamePerson(existing: RegistrationRequest, { asked }: RegistrationCall): boolean {
  return normalizeEmail(existing.spec.user.email) === normalizeEmail(emailOf(asked.spec));
}

/** As admission says it, and the controller. */
function isAddressTaken(error: unknown): boolean {
  return (
    error instanceof StatusError && error.code === 409 && error.status.details?.causes?.some(({ field }) => field === EMAIL_FIELD) === true
  );
}

function resultOf(name: string, outcome: Outcome, waitedSeconds: number): Registration {
  switch (outcome.is) {
    case 'gone':
      if (isComplete(outcome.request)) return registrationOf(outcome.request);
      throw isFailed(outcome.request) ? failureStatus(outcome.request, false) : removedStatus(name);
    case 'failed':
      throw failureStatus(outcome.request, true);
    case 'pending':
      throw pendingStatus(name, outcome.request, waitedSeconds);
    case 'lost':
      throw lostStatus(name);
  }
}

function stopping(): StatusError {
  return unavailable('this server is stopping; repeat the request to go on with another one', 1);
}

function generatedName(base: string): string {
  const end = Array.from({ length: NAME_CHARACTERS_COUNT }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join('');
  return base.slice(0, MAX_GENERATED_BASE) + end;
}

function emailOf(spec: unknown): string {
  const email = fieldOf(fieldOf(spec, 'user'), 'email');
  return typeof email === 'string' ? email : '';
}

function passwordOf(spec: unknown): unknown {
  return fieldOf(spec, 'password');
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, field) ? (value as Record<string, unknown>)[field] : undefined;
}
