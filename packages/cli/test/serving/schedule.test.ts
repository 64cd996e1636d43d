// The schedule: equal shares for clients, short ones soon, and nobody starves.
import { expect } from 'chai';
import fc from 'fast-check';
import { type Schedulable, Schedule } from '../../src/serving/schedule.js';

interface Task extends Schedulable {
  readonly name: string;
  remaining: number;
}

function task(name: string, client: string, remaining: number): Task {
  return { name, client, remaining };
}

/** Decodes a token for each seated sequence a step. @returns the step in which each task ended */
function decodeAll(slots: number, tasks: readonly Task[], arrive: (step: number) => Task[]) {
  const schedule = new Schedule();
  const ended = new Map<string, number>();
  let waiting = tasks;
  for (let step = 0; waiting.length > 0 && step < 20_000; step++) {
    waiting = [...waiting, ...arrive(step)];
    const seats = schedule.seats(waiting, slots);
    expect(new Set(seats).size).to.equal(Math.min(slots, waiting.length));
    for (const seat of seats) {
      seat.remaining--;
      if (seat.remaining === 0) ended.set(seat.name, step);
    }
    schedule.step();
    waiting = waiting.filter(({ remaining }) => remaining > 0);
  }
  return ended;
}

describe('Schedule', () => {
  it('seats everybody where there is room, in order of arrival', () => {
    const tasks = [task('a', 'x', 9), task('b', 'y', 1), task('c', 'x', 5)];
    expect(new Schedule().seats(tasks, 3)).to.deep.equal(tasks);
  });

  it('seats a short sequence behind any number of long ones, of the same client too', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 64 }),
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom('own', 'other'),
        (slots, long, client) => {
          const tasks = Array.from({ length: slots + long }, (_, i) => task(`${i}`, 'own', 1500));
          const short = task('short', client, 8);
          expect(new Schedule().seats([...tasks, short], slots)).to.include(short);
        },
      ),
    );
  });

  it('gives clients equal shares of the slots, however much one of them asks for', () => {
    const many = Array.from({ length: 90 }, (_, i) => task(`a${i}`, 'a', 500 + i));
    const few = Array.from({ length: 20 }, (_, i) => task(`b${i}`, 'b', 400 - i));
    const seats = new Schedule().seats([...many, ...few, task('c', 'c', 9000)], 32);
    const count = (name: string) => seats.filter(({ client }) => client === name).length;
    expect(count('c')).to.equal(1);
    expect(Math.abs(count('a') - count('b'))).to.be.at.most(1);
    expect(seats).to.have.length(32);
  });

  it('ends a long sequence although short ones keep coming, with any number of slots', () => {
    for (const slots of [1, 2, 3, 8]) {
      const arrive = (step: number) =>
        step < 300 ? Array.from({ length: slots }, (_, i) => task(`s${step}-${i}`, 'own', 2)) : [];
      const ended = decodeAll(slots, [task('long', 'own', 100)], arrive);
      expect(ended.get('long'), `${slots} slots`).to.be.below(280);
    }
  });

  it('ends short sequences soon behind long ones with one slot', () => {
    const long = Array.from({ length: 30 }, (_, i) => task(`l${i}`, 'own', 200));
    const arrive = (step: number) => (step === 5 ? [task('short', 'own', 4)] : []);
    expect(decodeAll(1, long, arrive).get('short')).to.be.below(40);
  });

  it('moves no sequence in and out of the batch again and again', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            client: fc.constantFrom('a', 'b', 'c'),
            remaining: fc.integer({ min: 1, max: 60 }),
          }),
          { minLength: 1, maxLength: 30 },
        ),
        fc.integer({ min: 2, max: 8 }),
        (wanted, slots) => {
          const schedule = new Schedule();
          let waiting = wanted.map(({ client, remaining }, i) => task(`${i}`, client, remaining));
          let moves = 0;
          let before: readonly Task[] = [];
          while (waiting.length > 0) {
            const seats = schedule.seats(waiting, slots);
            moves += before.filter((seat) => seat.remaining > 0 && !seats.includes(seat)).length;
            for (const seat of seats) seat.remaining--;
            before = seats;
            schedule.step();
            waiting = waiting.filter(({ remaining }) => remaining > 0);
          }
          expect(moves).to.be.at.most(2 * wanted.length);
        },
      ),
    );
  });

  it('reads the shortest prompt in every second turn, and all clients in the others', () => {
    const schedule = new Schedule();
    const jobs = [
      task('a1', 'a', 4000),
      task('a2', 'a', 3000),
      task('b', 'b', 2000),
      task('c', 'c', 5),
    ];
    const turns = Array.from({ length: 8 }, () => schedule.nextPrompt(jobs)?.name);
    expect(turns.filter((_, i) => i % 2 === 0)).to.deep.equal(['c', 'c', 'c', 'c']);
    expect(turns.filter((_, i) => i % 2 === 1)).to.deep.equal(['a1', 'b', 'a1', 'b']);
  });

  it('reads a long prompt to its end although short ones keep coming', () => {
    const schedule = new Schedule();
    const long = task('long', 'slow', 50);
    let turns = 0;
    for (; long.remaining > 0 && turns < 1000; turns++) {
      const next = schedule.nextPrompt([task('short', `client ${turns % 3}`, 1), long]);
      if (next) next.remaining--;
    }
    expect(turns).to.be.below(500);
  });
});
