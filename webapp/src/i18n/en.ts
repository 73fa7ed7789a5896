/** English, and the shape of every other language. */
import type { Result } from "../core/call/state.ts";
import type { DeviceErrorCode, LinkFailure, Way } from "../core/media/api.ts";
import type { Grade } from "../core/quality.ts";
import type { ReplayFailure, VoiceFailure } from "../core/phone.ts";
import type { Cause, OwnPresence, PresenceState, Silence } from "../core/schema.ts";
import type { SignOutReason } from "../core/session/session.ts";
import type { StopReason } from "../core/signal/line.ts";
import type { RequestFailure } from "../core/signal/line.ts";
import type { Missing } from "../core/support.ts";

const causes: Record<Cause, string> = {
	normal: "Call ended",
	cancelled: "Call cancelled",
	rejected: "Call declined",
	busy: "Busy: already in another call",
	no_answer: "No answer",
	not_found: "Nobody has this number or name",
	unreachable: "Cannot be reached now",
	answered_elsewhere: "Answered on another device",
	lost: "The connection was lost",
	transferred: "Transferred",
	too_long: "The longest duration of a call was reached",
	failed: "The call failed",
	shutdown: "The telephone system is restarting",
};

const refusals: Record<RequestFailure, string> = {
	bad_message: "That does not look like a number or a name",
	too_large: "That is too long",
	unsupported_version: "This page is out of date. Reload it.",
	unauthorized: "You are not signed in any more",
	expired: "Your sign-in has expired",
	not_registered: "Not connected to the telephone system",
	already_registered: "This page is connected already",
	not_found: "Nobody has this number or name",
	offline: "Nobody there",
	busy: "Busy: takes no further call",
	no_such_call: "This call is over",
	wrong_state: "That is not possible at this point of the call",
	forbidden: "You are not allowed to do that",
	no_route: "There is no connection to the telephone network",
	blocked: "This number is blocked here",
	trunk_down: "The line for this number is down. Please try again later",
	too_many: "Too many calls at once",
	rate_limited: "Too fast. Wait a moment and try again.",
	shutting_down: "The telephone system is restarting. Try again in a minute.",
	internal: "The telephone system has a fault. Try again.",
	timeout: "The telephone system does not answer",
	lost: "The connection was lost before this was done",
	queue_full: "Too much at once. Wait a moment and try again.",
};

const silences: Record<Silence, string> = {
	telephone_never_sent: "Nothing is heard of the telephone: its sound does not reach the telephone system",
	telephone_stopped: "Nothing is heard of the telephone any more: on hold, or its network is gone",
	telephone_mute: "The telephone is silent: muted, or its microphone is dead",
	others_never_sent: "The telephone hears nothing: your sound does not arrive there",
	others_stopped: "The telephone hears nothing any more: your sound does not arrive there",
};

const devices: Record<DeviceErrorCode, string> = {
	mic_blocked: "The microphone is blocked",
	mic_none: "There is no microphone",
	mic_in_use: "Another program is using the microphone",
	mic_unsupported: "This browser gives the page no microphone",
	mic_failed: "The microphone does not work",
	speaker_unavailable: "This loudspeaker cannot be used",
	audio_blocked: "The browser keeps the sound off until you click",
	audio_failed: "The sound could not be started",
	codec_failed: "The voice codec of this browser failed",
};

const deviceHelp: Record<DeviceErrorCode, string> = {
	mic_blocked: "Allow it by the symbol beside the address, then try again.",
	mic_none: "Plug one in, or choose another one in the settings.",
	mic_in_use: "Close the other program, then try again.",
	mic_unsupported: "Open the page by https:// or on localhost.",
	mic_failed: "Plug it in again, or choose another one.",
	speaker_unavailable: "The system's default is used instead.",
	audio_blocked: "Click anywhere on the page.",
	audio_failed: "Reload the page.",
	codec_failed: "Reload the page, or try another browser.",
};

const link: Record<LinkFailure, string> = {
	unsupported: "This browser cannot carry voice to the voice server",
	unreachable: "Voice does not get through, neither by UDP nor by TCP. Is a firewall or VPN in the way?",
	unauthorized: "The voice server refuses this sign-in",
	version: "Page and voice server do not fit. Reload the page.",
	lost: "The voice connection was lost",
	going_away: "The voice server is restarting",
	protocol: "The voice connection broke down",
	wasm: "A part of the page could not be loaded. Reload it.",
};

const voice: Record<VoiceFailure, string> = {
	unsent: "The voice server does not take your voice: nobody hears you",
	unheard: "The voice server does not give you the other side's voice",
};

const replayFailures: Record<ReplayFailure, string> = {
	nothing: "There is nothing to hear again",
	unavailable: "The voice server does not give what was said before",
};

const ways: Record<Way, string> = { webtransport: "WebTransport (UDP)", websocket: "WebSocket (TCP)" };

const signOut: Record<SignOutReason, string> = {
	unreachable: "The telephone system cannot be reached",
	name_taken: "Somebody else is using this name now",
	name_invalid: "Please use 1 to 64 ordinary characters",
	guests_off: "A name alone is not enough here: you need an access code",
	too_many: "Too many sign-ins. Try again in a minute.",
	full: "Everybody's number is taken. Try again later.",
	shutting_down: "The telephone system is restarting. Try again in a minute.",
	unauthorized: "This access code does not hold",
	expired: "Your sign-in has expired",
	bad_token: "That is no access code",
};

const stopped: Record<StopReason, string> = {
	unauthorized: "Signing in again…",
	expired: "Signing in again…",
	replaced: "The telephone is open in another window",
	unsupported_version: "This page is out of date. Reload it.",
};

const presence: Record<PresenceState, string> = {
	available: "Available",
	busy: "Busy",
	away: "Away",
	offline: "Offline",
};

const own: Record<OwnPresence, string> = { available: "Available", busy: "Do not disturb", away: "Away" };

const results: Record<Result, string> = {
	answered: "Answered",
	missed: "Missed",
	declined: "Declined",
	cancelled: "Cancelled",
	elsewhere: "Answered elsewhere",
	failed: "Not reached",
};

const grades: Record<Grade, string> = { unknown: "Quality", good: "Good", fair: "Fair", poor: "Poor" };

const missing: Record<Missing, string> = {
	secure_context: "a secure address (https:// or localhost)",
	websocket: "WebSocket",
	webcodecs: "WebCodecs for audio",
	worklet: "AudioWorklet",
	microphone: "access to the microphone",
	wasm: "WebAssembly",
};

export const en = {
	causes,
	refusals,
	devices,
	deviceHelp,
	link,
	voice,
	replayFailures,
	ways,
	signOut,
	stopped,
	presence,
	own,
	results,
	grades,
	missing,

	product: "moqrelay",
	tagline: "A telephone in your browser",
	yourName: "Your name",
	namePlaceholder: "Anna Berg",
	signIn: "Start",
	signingIn: "One moment…",
	signInHint: "Others see this name and can call you.",
	accessCode: "Access code",
	useAccessCode: "Sign in with an access code",
	useName: "Sign in with a name",
	signOutAction: "Sign out",
	yourNumber: (number: string) => `Your number is ${number}`,

	people: "People",
	recent: "Recent",
	keypad: "Keypad",
	settings: "Settings",
	yourState: "Your state",
	close: "Close",
	search: "Search people",
	nobodyHere: "Nobody else is here yet",
	nobodyHereHint: "Open this page in another browser, or test your sound.",
	morePeople: (count: number) => `${count} more: use the search`,
	nobodyFound: "Nobody matches",
	offlinePeople: "Offline",
	testYourSound: "Test your sound",
	services: { echo: "Echo", milliwatt: "Test tone" } as Record<string, string>,
	serviceHints: { echo: "Hear yourself as others do", milliwatt: "A steady tone of 1004 Hz" } as Record<string, string>,
	callPerson: (name: string) => `Call ${name}`,
	nMissed: (count: number) => (count === 1 ? "1 missed call" : `${count} missed calls`),

	dialLabel: "Name or number",
	dialPlaceholder: "Name or number",
	call: "Call",
	backspace: "Delete the last character",
	padLabel: "Dial pad",
	noRecent: "No calls yet",
	clearRecent: "Clear the list",
	yesterday: "Yesterday",
	redialTo: (name: string) => `Call ${name} again`,

	calling: "Calling…",
	ringing: "Ringing…",
	early: "Connecting…",
	answering: "Connecting…",
	connectingSound: "Connecting the sound…",
	connected: "Connected",
	onHold: "On hold",
	heldByOther: (name: string) => `${name} has put you on hold`,
	otherMuted: (name: string) => `${name} is muted`,
	otherPressed: (name: string, digits: string) => `${name} pressed ${digits}`,
	youAreMuted: "You are muted",
	youAreMutedHint: "You are muted: nobody hears you",
	pushToTalkHint: "Hold Space to speak",
	mute: "Mute",
	unmute: "Unmute",
	hold: "Hold",
	resume: "Resume",
	hangUp: "Hang up",
	hangUpAgain: "Press H once more to hang up",
	swap: "Swap",
	transfer: "Transfer",
	transferTo: "Transfer to a name or number",
	transferNow: "Transfer now",
	askFirst: "Ask first",
	askFirstHint: "Holds this call and calls them; then connect the two",
	takeBack: "Take the call back",
	transferringTo: (name: string) => `Transferring to ${name}…`,
	beingTransferredTo: (name: string) => `You are being put through to ${name}…`,
	callIsBack: (cause: string) => `The transfer did not work, and the call is back. ${cause}`,
	connect: "Connect",
	connectHint: (one: string, other: string) => `Connect ${one} with ${other} and leave`,
	merge: "Merge",
	mergeHint: "All in one call",
	devicesAction: "Devices",
	you: "You",
	levelOfMicrophone: "Level of your microphone",
	levelOf: (name: string) => `Level of ${name}`,
	digitString: "1234, 567#",
	digitStringHint: "A string of keys; a comma is a pause of half a second",
	digitsSend: "Send",
	digitsSent: "Keys pressed",

	hearAgain: (name: string) => `Hear again what ${name} said`,
	hearAgainSeconds: (seconds: number) => `Hear the last ${seconds} seconds again`,
	seconds: (value: number) => `${value} s`,
	replayAsking: "One moment…",
	replaying: "Replaying",
	backToLive: "Back to live",

	incomingCall: "Incoming call",
	waitingCall: "Another call",
	sentOnBy: (who: string) => `For ${who}, sent on to you`,
	isCalling: (name: string) => `${name} is calling`,
	answer: "Answer",
	answerAndHold: "Hold & answer",
	decline: "Decline",
	unknownCaller: "Number withheld",

	callAgain: "Call again",
	done: "Done",
	lasted: (duration: string) => `Lasted ${duration}`,

	qualityTitle: "Call quality",
	roundTrip: "Round trip to the server",
	loss: "Lost packets",
	buffer: "Playing delay",
	concealed: "Made-up sound",
	output: "Loudspeaker delay",
	rating: "Rating (E-model)",
	telephoneSays: "The telephone, heard here",
	telephoneHears: "The telephone hears",
	telephoneFigures: (mos: string, delay: string, jitter: string, lost: string) => `MOS ${mos} · ${delay} · jitter ${jitter} · loss ${lost}`,
	telephoneWas: (from: string, to: string) => `Sound of the telephone: ${from}, to it: ${to} (MOS, 4.5 is best)`,
	silences,
	transport: "Voice goes by",
	byDatagram: "datagrams",
	byStream: "streams",
	byTcp: "By TCP – quality may suffer",
	byTcpHint: "UDP does not get through here, so voice goes by TCP and may stutter. UDP is tried again from time to time.",
	moves: "Changes of connection",
	sentPackets: "Packets sent",
	receivedPackets: "Packets received",
	unknownValue: "–",
	ms: (value: number) => `${Math.round(value)} ms`,
	percent: (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} %`,

	microphone: "Microphone",
	speaker: "Loudspeaker",
	systemDefault: "System default",
	cannotChooseSpeaker: "This browser uses the system's loudspeaker.",
	playTestTone: "Play a test tone",
	testMicrophone: "Test the microphone",
	stopTest: "Stop the test",
	speakNow: "Say something: the bar should move.",
	processing: "Sound processing",
	echoCancellation: "Echo cancellation",
	noiseSuppression: "Noise suppression",
	autoGainControl: "Automatic volume",
	connection: "Voice connection",
	noConnection: "Not connected",
	appearance: "Appearance",
	theme: "Colours",
	themes: { system: "As the system", light: "Light", dark: "Dark" } as Record<string, string>,
	language: "Language",
	languages: { system: "As the browser", en: "English", de: "Deutsch" } as Record<string, string>,
	keyboard: "Keyboard",
	shortcutsLabel: "Shortcuts of one key",
	pushToTalk: "Space opens the muted microphone while held",
	shortcuts: [
		["0–9 * #", "Dial, or send keys in a call"],
		["Enter", "Call"],
		["A / D", "Answer / decline"],
		["M", "Mute"],
		["T", "Transfer"],
		["R", "Hear the last 10 seconds again, or stop it; with Shift the last 30"],
		["H, H", "Hang up"],
		["Esc", "Close what is open"],
	] as readonly (readonly [string, string])[],
	notifications: "Notifications",
	allowNotifications: "Notify me of calls when this page is in the background",
	notificationsOn: "You are notified of calls in the background.",
	notificationsBlocked: "The browser blocks notifications of this page.",

	lineConnecting: "Connecting…",
	lineLost: "Connection lost, reconnecting…",
	lineRetry: (seconds: number) => (seconds <= 0 ? "Reconnecting…" : `Connection lost. Trying again in ${seconds} s.`),
	retryNow: "Try now",
	useHere: "Use it here",
	reload: "Reload",
	linkRetrying: "Voice connection lost, reconnecting…",
	tryAgain: "Try again",
	allowMicrophone: "The browser asks whether it may give the microphone to this page. Allow it, so that others hear you.",
	callSilently: "Call without a microphone",
	cancel: "Cancel",
	clickForSound: "Click here so that the telephone can ring and you hear sound.",
	dismiss: "Dismiss",
	nobodyHearsYou: "Nobody hears you.",

	unsupportedTitle: "This browser cannot be a telephone yet",
	unsupportedLead: "It lacks:",
	unsupportedHelp: "Use a current Chrome, Edge or Firefox on a computer, or Safari 26.4 or newer.",
	insecureHelp: "Browsers give the microphone to https:// and http://localhost only.",
};

export type Messages = typeof en;
