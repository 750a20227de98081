import { describe, expect, it } from 'vitest';
import { type ChatParameters, chatQuery, dialects, ProtocolError, parseChatQuery } from '../src/index';
import { Random } from './helpers';

const everything: Required<ChatParameters> = {
  textTemperature: 0.7,
  textTopK: 25,
  audioTemperature: 0.8,
  audioTopK: 250,
  textSeed: 1,
  audioSeed: 2,
  seed: 3,
  padMult: -0.5,
  repetitionPenalty: 1.1,
  repetitionPenaltyContext: 64,
  maxSteps: 4500,
  voice: 'NATF2.pt',
  prompt: 'You are wise & kind. ¿Sí?',
  sayOnly: true,
  email: 'a+b@example.org',
  workerAuthId: 'ticket',
  extensions: true,
};

const wire = {
  text_temperature: '0.7',
  text_topk: '25',
  audio_temperature: '0.8',
  audio_topk: '250',
  text_seed: '1',
  audio_seed: '2',
  seed: '3',
  pad_mult: '-0.5',
  repetition_penalty: '1.1',
  repetition_penalty_context: '64',
  max_steps: '4500',
  voice_prompt: 'NATF2.pt',
  text_prompt: 'You are wise & kind. ¿Sí?',
  say_only: '1',
  email: 'a+b@example.org',
  worker_auth_id: 'ticket',
  extensions: '1',
};

const without = (...names: (keyof typeof wire)[]) =>
  Object.fromEntries(Object.entries(wire).filter(([name]) => !names.includes(name as keyof typeof wire)));

describe('chatQuery', () => {
  it('writes every parameter by its name on the wire', () => {
    expect(Object.fromEntries(chatQuery(dialects.moshi, everything))).toEqual(wire);
  });

  it('leaves out what a dialect does not know', () => {
    const sent = (name: keyof typeof dialects) => Object.fromEntries(chatQuery(dialects[name], everything));
    expect(sent('moshi-rust')).toEqual(without('seed', 'voice_prompt', 'text_prompt'));
    expect(sent('personaplex')).toEqual(without('seed', 'max_steps'));
    expect(sent('moshi-server')).toEqual({});
  });

  it('tells servers with extensions that nobody asked for the voice it fills in', () => {
    const query = (voice?: string) => chatQuery(dialects.personaplex, { voice, prompt: 'Be kind.', extensions: true });
    expect(query().get('no_voice')).toBe('1');
    expect(query('').get('no_voice')).toBe('1');
    expect(query('NATF2').has('no_voice')).toBe(false);
    expect(parseChatQuery(query())).toEqual({ problems: [], parameters: { prompt: 'Be kind.', extensions: true } });
    expect(parseChatQuery(query('NATF2')).parameters.voice).toBe('NATF2.pt');
  });

  it('is empty without parameters, where nothing is required', () => {
    expect(chatQuery(dialects.moshi, {}).toString()).toBe('');
    expect(chatQuery(dialects['moshi-rust'], { extensions: false }).toString()).toBe('');
  });

  it('gives PersonaPlex what it requires', () => {
    const query = chatQuery(dialects.personaplex, {});
    expect(query.toString()).toBe('voice_prompt=NATF0.pt&text_prompt=+');
    for (const prompt of ['', undefined]) {
      expect(chatQuery(dialects.personaplex, { prompt }).get('text_prompt')).toBe(' ');
    }
    for (const name of dialects.personaplex.requires) expect(query.get(name)).toBeTruthy();
  });

  it.each([
    ['NATF2', 'NATF2.pt'],
    ['VARM4', 'VARM4.pt'],
    ['NATF2.pt', 'NATF2.pt'],
    ['mine.wav', 'mine.wav'],
    ['mine', 'mine'],
    ['', 'NATF0.pt'],
  ])('names the voice %j for PersonaPlex %j', (voice, expected) => {
    expect(chatQuery(dialects.personaplex, { voice }).get('voice_prompt')).toBe(expected);
  });

  it('leaves names alone elsewhere', () => {
    expect(chatQuery(dialects.moshi, { voice: 'NATF2', prompt: '' }).toString()).toBe(
      'voice_prompt=NATF2&text_prompt=',
    );
  });

  it.each<ChatParameters>([
    { textTemperature: Number.NaN },
    { audioTemperature: Number.POSITIVE_INFINITY },
    { textTemperature: -0.1 },
    { textTopK: 2.5 },
    { maxSteps: 0 },
    { textSeed: -1 },
    { seed: -2 },
    { audioSeed: 2 ** 53 },
    { textTopK: '25' as unknown as number },
  ])('refuses %j', (parameters) => {
    expect(() => chatQuery(dialects.moshi, parameters)).toThrow(ProtocolError);
    expect(() => chatQuery(dialects.moshi, parameters)).toThrow(Object.keys(parameters)[0]);
  });
});

describe('parseChatQuery', () => {
  const parse = (query: string | Record<string, string>) => parseChatQuery(new URLSearchParams(query));

  it('reads what chatQuery writes', () => {
    expect(parse(chatQuery(dialects.moshi, everything).toString())).toEqual({ parameters: everything, problems: [] });
  });

  it('reads what the official web clients send', () => {
    const kyutai =
      'email=a%40b.c&text_temperature=0.7&text_topk=25&audio_temperature=0.8&audio_topk=250&pad_mult=0&text_seed=999999' +
      '&audio_seed=0&repetition_penalty_context=64&repetition_penalty=1&image_url=http%3A%2F%2Fx&image_resolution=224';
    expect(parse(kyutai)).toEqual({
      problems: [],
      parameters: {
        email: 'a@b.c',
        textTemperature: 0.7,
        textTopK: 25,
        audioTemperature: 0.8,
        audioTopK: 250,
        padMult: 0,
        textSeed: 999_999,
        audioSeed: 0,
        repetitionPenaltyContext: 64,
        repetitionPenalty: 1,
      },
    });
    const nvidia = parse('text_prompt=You+are%20wise.&voice_prompt=NATF0.pt&worker_auth_id=');
    expect(nvidia).toEqual({ problems: [], parameters: { prompt: 'You are wise.', voice: 'NATF0.pt' } });
  });

  it('takes an empty text and seed -1 as not given', () => {
    expect(parse('text_prompt=+&voice_prompt=&email=&seed=-1')).toEqual({ problems: [], parameters: {} });
  });

  it('knows nothing of other parameters', () => {
    expect(parse('toString=1&__proto__=2&constructor=3&foo=bar')).toEqual({ problems: [], parameters: {} });
  });

  it.each([
    ['text_temperature', 'warm'],
    ['text_temperature', ''],
    ['text_temperature', 'NaN'],
    ['text_temperature', 'Infinity'],
    ['text_temperature', '1e999'],
    ['text_temperature', '0x1'],
    ['text_temperature', ' 1'],
    ['text_temperature', '-0.1'],
    ['audio_temperature', '10.1'],
    ['text_topk', '2.5'],
    ['text_topk', '-1'],
    ['audio_topk', '1000001'],
    ['text_seed', '-1'],
    ['audio_seed', '9007199254740992'],
    ['seed', '-2'],
    ['pad_mult', '101'],
    ['repetition_penalty', '0'],
    ['repetition_penalty_context', '-1'],
    ['max_steps', '0'],
    ['extensions', 'yes'],
  ])('names parameter, value and what is allowed: %s=%s', (name, value) => {
    const { parameters, problems } = parse({ [name]: value });
    expect(parameters).toEqual({});
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${name} is ${JSON.stringify(value)}; it must be `);
    expect(problems[0]).toMatch(/\d.*\.$/);
  });

  it.each(['../../etc/passwd', 'a/b.pt', 'a\\b.pt', 'C:x.pt', '..', '.', 'a\0.pt', 'a\n.pt'])(
    'refuses the voice %j: it is no name in the folder of voices',
    (voice) => {
      const { parameters, problems } = parse({ voice_prompt: voice });
      expect(parameters.voice).toBeUndefined();
      expect(problems).toEqual([expect.stringContaining('voice_prompt')]);
    },
  );

  it('refuses texts that are too long, without repeating them', () => {
    for (const [name, max] of Object.entries({
      voice_prompt: 255,
      text_prompt: 20_000,
      email: 320,
      worker_auth_id: 1000,
    })) {
      expect(parse({ [name]: 'x'.repeat(max) }).problems).toEqual([]);
      const { problems } = parse({ [name]: 'x'.repeat(max + 1) });
      expect(problems).toEqual([expect.stringContaining(`${name} has ${max + 1} characters`)]);
      expect(problems[0]!.length).toBeLessThan(100);
    }
    expect(parse({ text_topk: '9'.repeat(100_000) }).problems[0]!.length).toBeLessThan(200);
  });

  it('refuses a parameter given twice, and tells every problem', () => {
    const { parameters, problems } = parse('text_topk=1&text_topk=2&seed=x&audio_topk=7&pad_mult=y');
    expect(parameters).toEqual({ audioTopK: 7 });
    expect(problems).toEqual([
      expect.stringMatching(/text_topk is given 2 times/),
      expect.stringMatching(/^seed/),
      expect.stringMatching(/^pad_mult/),
    ]);
  });

  it('survives random query strings', () => {
    const random = new Random(31);
    const names = Object.keys(wire);
    for (let i = 0; i < 5000; i++) {
      const value = String.fromCharCode(...Array.from({ length: random.below(12) }, () => random.below(0xffff)));
      const query = new URLSearchParams([
        [names[random.below(names.length)]!, random.below(2) ? value : `${value.length}`],
      ]);
      const { parameters, problems } = parseChatQuery(query);
      expect(problems.length + Object.keys(parameters).length).toBeLessThanOrEqual(1);
      for (const problem of problems) expect(problem).not.toMatch(/[\n\r\0]/);
    }
  });
});
