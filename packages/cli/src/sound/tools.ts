import { SAMPLE_RATE } from '@moshi/protocol';

/** Sound systems, and programs that bring their own way to each. */
export const SOUND_SYSTEMS = ['pulse', 'alsa', 'sox', 'ffmpeg'] as const;

/** A program that brings sound from a microphone to its standard output, or from its standard input to a loudspeaker. */
export interface SoundTool {
  /** Which sound system it belongs to: the first half of a device's id. */
  readonly system: (typeof SOUND_SYSTEMS)[number];
  readonly program: string;
  /** Its arguments for a device by its own name, undefined for the default: 24 kHz mono, little-endian, as `format` says. */
  args(device: string | undefined): string[];
  readonly format: 'float32' | 'int16';
  /** Milliseconds of sound it holds on the way, as it was told to. */
  readonly latencyMs: number;
  /** What of its words on standard error says nothing of why it ended. */
  readonly progress?: RegExp;
  /** What of these says how many seconds of sound it has played. */
  readonly played?: RegExp;
  /** What of these says that it has been silent for want of sound. */
  readonly ranDry?: RegExp;
  /** It knows no default device. */
  readonly needsDevice?: boolean;
}

/** What one kind of system may have, the best first. */
export interface SoundTools {
  readonly capture: readonly SoundTool[];
  readonly playback: readonly SoundTool[];
  /** What to install when it has none of them. */
  readonly cure: string;
}

const rate = String(SAMPLE_RATE);

const PULSE_RAW = ['--raw', `--rate=${rate}`, '--channels=1', '--format=float32le'];
const pulseDevice = (device: string | undefined) => (device === undefined ? [] : [`--device=${device}`]);

// PipeWire has PulseAudio's programs, too, and reads and writes pipes more reliably through them than through its own.
const parec: SoundTool = {
  ...{ system: 'pulse', program: 'parec', format: 'float32', latencyMs: 20 },
  args: (device) => [...PULSE_RAW, '--latency-msec=20', ...pulseDevice(device)],
};
const pacat: SoundTool = {
  ...{ system: 'pulse', program: 'pacat', format: 'float32', latencyMs: 60 },
  args: (device) => ['--playback', '--verbose', ...PULSE_RAW, '--latency-msec=60', ...pulseDevice(device)],
  progress: /^(Time:|Opening |Connection established|Stream [a-z]+[. ]|Buffer metrics|Using sample spec|Connected to )/,
  played: /^Time: ([\d.]+) sec/,
};

const ALSA_RAW = ['-q', '-t', 'raw', '-f', 'S16_LE', '-r', rate, '-c', '1', '--period-time=20000'];
const ALSA = { system: 'alsa', format: 'int16', progress: /^(over|under)run!!!/ } as const;
// A microphone waits for a period alone: the rest of its buffer is for a machine that is busy.
const arecord: SoundTool = {
  ...{ ...ALSA, program: 'arecord', latencyMs: 20 },
  args: (device = 'default') => [...ALSA_RAW, '--buffer-time=500000', '-D', device],
};
const aplay: SoundTool = {
  ...{ ...ALSA, program: 'aplay', latencyMs: 80, ranDry: /^underrun/ },
  args: (device = 'default') => [...ALSA_RAW, '--buffer-time=80000', '-D', device],
};

const SOX_RAW = ['-t', 'raw', '-e', 'floating-point', '-b', '32', '-L', '-r', rate, '-c', '1', '-'];
// Its own buffer holds 8 KiB otherwise, of any format.
const SOX = ['-q', '--buffer', '1024'];

/** `driver` names the kind of a device; `standard` is the default one. */
function sox(driver: string, standard: readonly string[]): Pick<SoundTools, 'capture' | 'playback'> {
  const place = (device: string | undefined) => (device === undefined ? standard : ['-t', driver, device]);
  const ranDry = /under-?run/i;
  const tool = { system: 'sox', program: 'sox', format: 'float32', progress: /(over|under)-?run/i } as const;
  return {
    capture: [{ ...tool, latencyMs: 40, args: (device) => [...SOX, ...place(device), ...SOX_RAW] }],
    playback: [{ ...tool, ranDry, latencyMs: 80, args: (device) => [...SOX, ...SOX_RAW, ...place(device)] }],
  };
}

// Otherwise it looks at two seconds of sound before it lets any through.
const AT_ONCE = ['-fflags', 'nobuffer', '-probesize', '32', '-analyzeduration', '0'];
const FFMPEG = ['-hide_banner', '-loglevel', 'error', ...AT_ONCE];

/** `input` is how ffmpeg names a microphone there. */
function ffmpeg(input: (device: string | undefined) => string[]): SoundTool {
  return {
    ...{ system: 'ffmpeg', program: 'ffmpeg', format: 'float32', latencyMs: 40 },
    args: (device) => [
      ...['-nostdin', ...FFMPEG, ...input(device)],
      // Otherwise what both channels hear is louder than it was, and cut off.
      ...['-af', 'aresample=rematrix_maxval=1'],
      ...['-ac', '1', '-ar', rate, '-f', 'f32le', '-flush_packets', '1', 'pipe:1'],
    ],
  };
}

// It plays on the default device alone.
const ffplay: SoundTool = {
  ...{ system: 'ffmpeg', program: 'ffplay', format: 'float32', latencyMs: 100 },
  args: () => [
    ...['-nodisp', '-autoexit', ...FFMPEG, '-flags', 'low_delay', '-sync', 'ext'],
    ...['-f', 'f32le', '-ar', rate, '-ch_layout', 'mono', '-i', 'pipe:0'],
  ],
};

/** The tools of a system, `process.platform` as Node names it; everything that is not macOS or Windows is taken for a Linux. */
export function soundTools(platform: NodeJS.Platform): SoundTools {
  if (platform === 'darwin') {
    const { capture, playback } = sox('coreaudio', ['-t', 'coreaudio', 'default']);
    const microphone = ffmpeg((device = 'default') => ['-f', 'avfoundation', '-i', `:${device}`]);
    return { capture: [...capture, microphone], playback: [...playback, ffplay], cure: 'brew install sox' };
  }
  if (platform === 'win32') {
    const microphone = {
      ...ffmpeg((device = '') => ['-f', 'dshow', '-audio_buffer_size', '20', '-i', `audio=${device}`]),
      needsDevice: true,
    };
    // There `-d` finds nothing: sox 14.4.2 ends with "no default audio device configured".
    const { capture, playback } = sox('waveaudio', ['-t', 'waveaudio', 'default']);
    return { capture: [...capture, microphone], playback: [...playback, ffplay], cure: 'winget install sox' };
  }
  const { capture, playback } = sox('alsa', ['-d']);
  const microphone = ffmpeg((device = 'default') => ['-f', 'pulse', '-i', device]);
  return {
    capture: [parec, arecord, ...capture, microphone],
    playback: [pacat, aplay, ...playback, ffplay],
    cure: 'apt-get install pulseaudio-utils',
  };
}
