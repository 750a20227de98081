/** What is known of the conversation at one moment. */
export interface Figures {
  /** Loudness of both sides, 0 to 1. */
  readonly user: number;
  readonly model: number;
  /** Why the user is not heard; empty when he is. */
  readonly silence: string;
  /** Seconds of the conversation. */
  readonly seconds: number;
  /** From a sound of the user to the answer of the model being heard, and what of it waits to be played. */
  readonly answerMs: number | undefined;
  readonly bufferedMs: number;
  /** Silence that was heard because sound came too late. */
  readonly missedMs: number;
  /** What goes on besides talking: reconnecting, a server that is too slow. */
  readonly trouble: string | undefined;
}

/** Shows a conversation. Texts may hold anything: they come from a server. */
export interface ChatView {
  /** A piece of what the model says, before it is heard. */
  text(text: string, time: number): void;
  /** What the model said up to here has been heard. */
  heard(time: number): void;
  /** What has not been heard will not be. */
  cut(): void;
  /** Something the user should know, as a line of its own. */
  note(text: string): void;
  /** The state of things; about ten times a second. */
  figures(figures: Figures): void;
  /** What the user types for the model to say; undefined when he does not. */
  typing(text: string | undefined): void;
  /** Leaves the terminal to the shell. */
  pause(): void;
  /** Draws all anew, as others may have written meanwhile. */
  resume(): void;
  /** Shows what is left and gives the terminal back. */
  end(): void;
}
