import { canGoOnTyping, newConversation, type Trouble } from '../words';
import type { Mode, Phase } from './call-signals';

/** What the visitor can do about a notice. */
export type NoticeAction = 'type-instead' | 'play-sound' | 'dismiss-trouble' | 'dismiss-new' | 'agree';

/** A banner: something to know, to wait for, or to do something about. */
export interface Notice {
  readonly id: string;
  readonly tone: 'info' | 'warn' | 'bad';
  readonly title: string;
  readonly text: string;
  /** The text has figures that change every moment. */
  readonly moving?: true;
  readonly action?: NoticeAction;
  readonly label?: string;
}

/** What notices are made of. */
export interface Situation {
  readonly phase: Phase;
  readonly mode: Mode;
  readonly speaker: string;
  readonly trouble: Trouble | undefined;
  readonly keepsUp: boolean | undefined;
  readonly behindMs: number;
  readonly roundTripMs: number | null;
  readonly offline: boolean;
  readonly newConversation: string | undefined;
  /** Host of a server that is not this page's, and whether the visitor agreed to talk with it. */
  readonly foreignHost: string | undefined;
  readonly agreed: boolean;
  readonly addressProblem: string | undefined;
  readonly unsupported: string | undefined;
}

/** Answers later than this are late on any network. */
const LATE_MS = 2500;

/** The banners of this moment, the most pressing first. */
export function noticesOf(situation: Situation): readonly Notice[] {
  return [...troubles(situation), ...connection(situation), ...machine(situation), ...place(situation)];
}

function troubles({ trouble, unsupported, speaker, phase, addressProblem }: Situation): Notice[] {
  const notices: Notice[] = [];
  if (unsupported !== undefined) {
    notices.push({ id: 'unsupported', tone: 'bad', title: 'This browser cannot talk', text: unsupported });
  }
  if (trouble) {
    const canType = phase.name === 'idle' && canGoOnTyping(trouble);
    notices.push({
      id: `trouble-${trouble.code}`,
      tone: 'bad',
      title: trouble.title,
      text: trouble.text,
      ...(canType
        ? { action: 'type-instead', label: 'Go on by typing' }
        : { action: 'dismiss-trouble', label: 'Dismiss' }),
    });
  }
  if (addressProblem !== undefined) {
    notices.push({ id: 'address', tone: 'warn', title: 'This link is not quite right', text: addressProblem });
  }
  if (speaker === 'blocked') {
    const text = 'Browsers play sound only after a click on the page.';
    notices.push({
      id: 'blocked',
      tone: 'warn',
      title: 'Moshi is talking, but you cannot hear it',
      text,
      action: 'play-sound',
      label: 'Turn the sound on',
    });
  }
  if (speaker === 'interrupted') {
    const text = 'Another program or a phone call has the sound. It comes back by itself.';
    notices.push({ id: 'interrupted', tone: 'warn', title: 'The sound is on hold', text });
  }
  return notices;
}

function connection({ phase, offline, newConversation: reason }: Situation): Notice[] {
  const notices: Notice[] = [];
  if (phase.name === 'asking') {
    const text = 'Your browser asks whether this page may use the microphone. Nothing is sent before you agree.';
    notices.push({ id: 'asking', tone: 'info', title: 'Allow the microphone', text });
  }
  if (phase.name === 'waiting' && phase.position !== undefined) {
    const title = phase.position === 1 ? 'You are next in line' : `You are number ${phase.position} in line`;
    notices.push({
      id: 'line',
      tone: 'info',
      title,
      text: 'All places are taken. It begins by itself when one is free.',
    });
  }
  if (phase.name === 'reconnecting') {
    const text = offline
      ? 'This device has no network. The call goes on when it is back.'
      : 'What you say is kept for a moment. Where the server can, the same conversation goes on.';
    notices.push({ id: 'reconnecting', tone: 'warn', title: 'Connection lost – trying again', text });
  }
  if (reason !== undefined) {
    const text = newConversation[reason] ?? newConversation.unknown!;
    notices.push({
      id: 'new-conversation',
      tone: 'warn',
      title: 'A new conversation has begun',
      text,
      action: 'dismiss-new',
      label: 'All right',
    });
  }
  return notices;
}

function machine({ phase, keepsUp, behindMs, roundTripMs }: Situation): Notice[] {
  const live = phase.name === 'live';
  if (live && behindMs > 0) {
    const late = `${(behindMs / 1000).toFixed(1)} s`;
    const text = `${late} of what you said still wait to be heard, so answers come late. A smaller or quantized model, or a GPU, would keep up.`;
    return [{ id: 'behind', tone: 'warn', title: 'This machine cannot keep up', text, moving: true }];
  }
  if (live && roundTripMs !== null && roundTripMs > LATE_MS) {
    const text = `By ${(roundTripMs / 1000).toFixed(1)} s: the server or the network is slower than speech.`;
    return [{ id: 'late', tone: 'warn', title: 'Answers come late', text, moving: true }];
  }
  if (keepsUp === false) {
    const text = 'It was measured to be slower than speech with this model: answers will come late and with gaps.';
    return [{ id: 'slow', tone: 'warn', title: 'This machine cannot keep up', text }];
  }
  return [];
}

function place({ foreignHost, agreed }: Situation): Notice[] {
  if (foreignHost === undefined) return [];
  if (agreed) {
    const text = 'It is not the one this page came from. Your settings here are not sent to it.';
    return [{ id: 'foreign', tone: 'info', title: `You talk with ${foreignHost}`, text }];
  }
  const text =
    'The link you followed sends your voice to a server that this page does not come from. Go on only if you trust it.';
  return [
    {
      id: 'foreign',
      tone: 'warn',
      title: `Talk with ${foreignHost}?`,
      text,
      action: 'agree',
      label: 'Yes, I trust it',
    },
  ];
}
