// A gamepad in the standard layout: the left stick and the cross walk, the right stick looks, buttons do what buttons do.

const DEAD = 0.15; // of the right stick: nearer to the middle is the middle
const WALK = 0.4; // of the left stick: from here on it counts as a key
const CROSS = [[12, "w"], [13, "s"], [14, "a"], [15, "d"]];

// buttons: number in the standard layout -> what to do when it is pressed.
export function play(hands, buttons) {
  let down = new Set();
  let running = false;

  function look() {
    const pad = [...navigator.getGamepads()].find((p) => p?.connected);
    running = pad !== undefined;
    if (!pad) {
      hands.hold("", "gamepad");
      hands.turn(0, 0);
      return;
    }
    const pressed = new Set(pad.buttons.flatMap((b, number) => (b.pressed ? [number] : [])));
    const [x = 0, y = 0, yaw = 0, pitch = 0] = pad.axes;
    const keys = CROSS.filter(([number]) => pressed.has(number)).map(([, key]) => key);
    if (y < -WALK) keys.push("w");
    if (y > WALK) keys.push("s");
    if (x < -WALK) keys.push("a");
    if (x > WALK) keys.push("d");
    hands.hold(keys.join(""), "gamepad");
    hands.turn(stick(yaw), stick(-pitch));
    for (const number of pressed) if (!down.has(number)) buttons[number]?.();
    down = pressed;
    requestAnimationFrame(look);
  }

  addEventListener("gamepadconnected", () => {
    if (!running) look();
  });
}

// In steps of a twentieth, so that a trembling thumb says nothing new.
function stick(x) {
  const beyond = Math.max(0, Math.abs(x) - DEAD) / (1 - DEAD);
  return Math.sign(x) * Math.min(1, Math.round(beyond * 20) / 20) || 0;
}
