/** A moving test card whose number can be read back from any size of it. */

/** Blocks in two rows: sixteen bits, black or white. */
const COLUMNS = 8;
const ROWS = 2;
/** Blocks have this share of the height; the rest moves. */
const BLOCKS = 0.5;
/** A bit that is neither is a bad picture. */
const DARK = 70;
const BRIGHT = 185;

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

export function draw(context: Context, width: number, height: number, number: number): void {
	context.fillStyle = "#808080";
	context.fillRect(0, 0, width, height);
	const [w, h] = [width / COLUMNS, (height * BLOCKS) / ROWS];
	for (let bit = 0; bit < COLUMNS * ROWS; bit++) {
		context.fillStyle = (number >> bit) & 1 ? "#ffffff" : "#000000";
		context.fillRect((bit % COLUMNS) * w, Math.floor(bit / COLUMNS) * h, w, h);
	}
	// Something to code: stripes that pass, and a line of text.
	const y = height * BLOCKS;
	for (let stripe = 0; stripe < 12; stripe++) {
		context.fillStyle = `hsl(${(stripe * 30 + number * 3) % 360} 80% 50%)`;
		context.fillRect((stripe * width) / 12, y, width / 12, height - y);
	}
	context.fillStyle = "#000000";
	context.font = `${Math.round(height / 8)}px monospace`;
	context.fillText(String(number), ((number * 7) % 100) * (width / 140), height * 0.8);
}

/** The number of the card in a canvas; null: there is none that can be read. */
export function read(canvas: HTMLCanvasElement): number | null {
	const { width, height } = canvas;
	const context = canvas.getContext("2d");
	if (context === null || width < COLUMNS * 2) return null;
	let number = 0;
	for (let row = 0; row < ROWS; row++) {
		const y = Math.floor(((row + 0.5) * height * BLOCKS) / ROWS);
		const line = context.getImageData(0, y, width, 1).data;
		for (let column = 0; column < COLUMNS; column++) {
			const x = Math.floor(((column + 0.5) * width) / COLUMNS);
			const light = line[x * 4 + 1] ?? 128;
			if (light > DARK && light < BRIGHT) return null;
			if (light >= BRIGHT) number |= 1 << (row * COLUMNS + column);
		}
	}
	return number;
}
