/** Line icons on a grid of 24, drawn for this page. */
import type { JSX } from "preact";

const SHAPES = {
	phone: <path d="M7.2 3.5 9.6 8 7.8 9.9a13 13 0 0 0 6.3 6.3l1.9-1.8 4.5 2.4v2.4a1.6 1.6 0 0 1-1.7 1.6A16.7 16.7 0 0 1 3.2 5.2a1.6 1.6 0 0 1 1.6-1.7z" />,
	hangup: <path d="M2.6 14.6c5.2-5.5 13.6-5.5 18.8 0 .6.6.6 1.5 0 2.1l-1.6 1.6c-.5.5-1.3.6-1.9.2l-2.5-1.7a1.5 1.5 0 0 1-.7-1.2v-1.5a11 11 0 0 0-5.4 0v1.5c0 .5-.2.9-.7 1.2l-2.5 1.7c-.6.4-1.4.3-1.9-.2l-1.6-1.6a1.5 1.5 0 0 1 0-2.1z" />,
	mic: (
		<>
			<rect x="9" y="3" width="6" height="11" rx="3" />
			<path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M9 21h6" />
		</>
	),
	micOff: (
		<>
			<path d="M15 10.5V6a3 3 0 0 0-5.8-1.1M9 9v2a3 3 0 0 0 4.6 2.5M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.2 13.4c.2-.6.3-1.2.3-1.900M12 18v3M9 21h6" />
			<path d="m4 4 16 16" />
		</>
	),
	mail: (
		<>
			<rect x="3" y="5.500" width="18" height="13" rx="2" />
			<path d="m3.800 7 8.200 6.200L20.200 7" />
		</>
	),
	pause: <path d="M8.5 5v14M15.5 5v14" />,
	play: <path d="M8 5.200v13.600L18.8 12z" />,
	pad: (
		<>
			{[5, 12, 19].flatMap((y) =>
				[5, 12, 19].map((x) => <circle key={`${x}-${y}`} cx={x} cy={y} r="1.4" fill="currentColor" stroke="none" />),
			)}
		</>
	),
	people: (
		<>
			<circle cx="9" cy="8.5" r="3.5" />
			<path d="M2.8 19.500a6.2 6.2 0 0 1 12.4 0M16 5.300a3.5 3.5 0 0 1 0 6.400M18 14.400a6.2 6.2 0 0 1 3.2 5.1" />
		</>
	),
	clock: (
		<>
			<circle cx="12" cy="12" r="8.5" />
			<path d="M12 7v5l3.3 2" />
		</>
	),
	search: (
		<>
			<circle cx="11" cy="11" r="6.5" />
			<path d="m16 16 4.5 4.5" />
		</>
	),
	settings: (
		<>
			<path d="M4 7h9M19 7h1M4 17h1M11 17h9" />
			<circle cx="16" cy="7" r="2.5" />
			<circle cx="8" cy="17" r="2.5" />
		</>
	),
	headset: (
		<>
			<path d="M4 15v-3a8 8 0 0 1 16 0v3" />
			<rect x="3" y="14" width="4.5" height="6.5" rx="2" />
			<rect x="16.5" y="14" width="4.5" height="6.5" rx="2" />
		</>
	),
	bars: <path d="M5 19v-4M10 19v-7.500M15 19V8M20 19V4.5" />,
	close: <path d="m6 6 12 12M18 6 6 18" />,
	back: <path d="M9.5 6H19a1.5 1.5 0 0 1 1.5 1.500v9A1.5 1.5 0 0 1 19 18H9.500L3.5 12zM12 10l4 4M16 10l-4 4" />,
	arrowIn: <path d="M18 6 7 17M7 9v8h8" />,
	arrowOut: <path d="M6 18 17 7M9 7h8v8" />,
	missed: <path d="m5 8 7 7 7-7M5 8v6M5 8h6" />,
	swap: <path d="M7 4v14M7 18l-3.5-3.500M7 18l3.5-3.500M17 20V6M17 6l-3.5 3.500M17 6l3.5 3.5" />,
	transfer: <path d="M4 17v-3a5 5 0 0 1 5-5h10M15 5l4 4-4 4" />,
	join: <path d="M4 6h3a5 5 0 0 1 5 5v8M20 6h-3a5 5 0 0 0-5 5M8.500 15.500 12 19l3.5-3.5" />,
	again: <path d="M4.5 12a7.500 7.500 0 1 0 2.4-5.5M7.500 2.500 6.500 6.900l4.400 1" />,
	live: (
		<>
			<circle cx="12" cy="12" r="2.5" fill="currentColor" />
			<path d="M7 7a7 7 0 0 0 0 10M17 7a7 7 0 0 1 0 10" />
		</>
	),
	echo: <path d="M4 12h1.500M8.5 8.500v7M12 5v14M15.5 8.500v7M18.5 12H20" />,
	wave: <path d="M3 12c2.25-9 4.5-9 6.75-4.5 1.1 2.3 1.8 6.7 2.9 9 2.25 4.5 4.5 4.5 8.35-4.5" />,
	warning: <path d="M12 4 2.8 19.500h18.400zM12 10v4.500M12 17.200v.1" />,
	camera: (
		<>
			<rect x="3" y="6.500" width="12.500" height="11" rx="2.500" />
			<path d="m15.500 11 5-3v8l-5-3z" />
		</>
	),
	cameraOff: (
		<>
			<path d="M8.500 6.500H13a2.500 2.500 0 0 1 2.500 2.500v2l5-3v8l-2.500-1.500M15.500 15.500a2.500 2.500 0 0 1-2.500 2H5.500A2.500 2.500 0 0 1 3 15V9a2.500 2.500 0 0 1 1.800-2.400" />
			<path d="m4 4 16 16" />
		</>
	),
	screen: (
		<>
			<rect x="3" y="4.500" width="18" height="12" rx="2" />
			<path d="M9 20.500h6M12 16.500v4M12 13.500v-5.500M9.500 10.500 12 8l2.500 2.500" />
		</>
	),
	blur: (
		<>
			<circle cx="12" cy="9" r="3.500" />
			<path d="M5.500 19.500a6.500 6.500 0 0 1 13 0M4 6v.1M4 11v.1M4 16v.1M20 6v.1M20 11v.1M20 16v.1" />
		</>
	),
	hand: <path d="M8 13V5.500a1.500 1.500 0 0 1 3 0V11M11 11V4a1.500 1.500 0 0 1 3 0v7M14 11V5.500a1.500 1.500 0 0 1 3 0V14a6.500 6.500 0 0 1-6.500 6.500c-2.600 0-4.300-1.300-5.500-3.500l-1.800-3.500a1.400 1.400 0 0 1 2.400-1.400L8 15" />,
	smile: (
		<>
			<circle cx="12" cy="12" r="8.500" />
			<path d="M8.500 14a4.200 4.200 0 0 0 7 0M9 9.500v.1M15 9.500v.1" />
		</>
	),
	layout: (
		<>
			<rect x="3.500" y="4.500" width="17" height="10" rx="2" />
			<path d="M4 18.500h4M10 18.500h4M16 18.500h4" />
		</>
	),
	chat: <path d="M4.500 5h15A1.500 1.500 0 0 1 21 6.500v9a1.500 1.500 0 0 1-1.500 1.500H11l-4.500 3.500V17h-2A1.500 1.500 0 0 1 3 15.500v-9A1.500 1.500 0 0 1 4.500 5z" />,
	send: <path d="M4 12 20 4.500 15.500 20l-3.500-6.500zM12 13.500l4-4" />,
	clip: <path d="m20 11.500-8 8a5 5 0 0 1-7.100-7.100l8.500-8.500a3.500 3.500 0 0 1 5 5l-8.400 8.400a2 2 0 0 1-2.900-2.900l7.400-7.300" />,
	file: (
		<>
			<path d="M13.500 3.500H7A1.500 1.500 0 0 0 5.500 5v14A1.500 1.500 0 0 0 7 20.500h10a1.500 1.500 0 0 0 1.500-1.500V8.500z" />
			<path d="M13.500 3.500v5h5" />
		</>
	),
	download: <path d="M12 4v11M7.500 10.500 12 15l4.500-4.500M5 19.500h14" />,
	pin: <path d="M9 4h6l-.800 6 2.800 3H7l2.800-3zM12 13v7.500" />,
	lock: (
		<>
			<rect x="5" y="11" width="14" height="9" rx="2" />
			<path d="M8 11V8a4 4 0 0 1 8 0v3" />
		</>
	),
	link: <path d="M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1.200 1.200M14 10a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1.200-1.200" />,
	more: (
		<>
			{[5.500, 12, 18.500].map((x) => (
				<circle key={x} cx={x} cy="12" r="1.500" fill="currentColor" stroke="none" />
			))}
		</>
	),
	record: (
		<>
			<circle cx="12" cy="12" r="8.500" />
			<circle cx="12" cy="12" r="4" fill="currentColor" stroke="none" />
		</>
	),
	program: (
		<>
			<rect x="4.500" y="8" width="15" height="11" rx="2.500" />
			<path d="M12 8V4.500M9 13v.1M15 13v.1M9.500 16h5" />
		</>
	),
	popOut: <path d="M10 5H5.500A1.500 1.500 0 0 0 4 6.500v11A1.500 1.500 0 0 0 5.500 19h13a1.500 1.500 0 0 0 1.500-1.500V14M14 4h6v6M20 4l-8 8" />,
	trash: <path d="M4.5 7h15M9 7V4.500h6V7M6.5 7l1 12.500h9l1-12.500M10 10.500v6M14 10.500v6" />,
} satisfies Record<string, JSX.Element>;

export type IconName = keyof typeof SHAPES;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
	return (
		<svg
			class="icon"
			viewBox="0 0 24 24"
			width={size}
			height={size}
			fill="none"
			stroke="currentColor"
			stroke-width="1.75"
			stroke-linecap="round"
			stroke-linejoin="round"
			aria-hidden="true"
		>
			{SHAPES[name]}
		</svg>
	);
}
