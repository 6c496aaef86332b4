// Looking about on the picture itself: a click takes the mouse until Esc gives it back; a finger drags the view.

const MOUSE = 0.1; // degrees a pixel
const FINGER = 0.2; // to the side one drags away from: the world follows the finger

// changed(taken) is called when the mouse is taken and given back.
export function lookOn(canvas, hands, changed) {
  const taken = () => document.pointerLockElement === canvas;
  let finger = null; // {id, x, y}

  canvas.addEventListener("click", (e) => {
    if (e.pointerType === "touch" || taken()) return;
    // Refused where the page is framed, or right after Esc: then the mouse stays what it is.
    Promise.resolve(canvas.requestPointerLock?.()).catch(() => {});
  });
  document.addEventListener("pointerlockchange", () => changed(taken()));
  document.addEventListener("mousemove", (e) => {
    if (taken()) hands.look(e.movementX * MOUSE, -e.movementY * MOUSE);
  });

  canvas.addEventListener("pointerdown", (e) => {
    if (e.pointerType !== "touch" || finger) return;
    canvas.setPointerCapture(e.pointerId);
    finger = { id: e.pointerId, x: e.clientX, y: e.clientY };
  });
  canvas.addEventListener("pointermove", (e) => {
    if (finger?.id !== e.pointerId) return;
    hands.look((finger.x - e.clientX) * FINGER, (e.clientY - finger.y) * FINGER);
    Object.assign(finger, { x: e.clientX, y: e.clientY });
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (e) => {
      if (finger?.id === e.pointerId) finger = null;
    });
  }
}
