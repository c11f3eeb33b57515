"""The eight subjects: each is a function Pose -> shapes in the subject's own square (see shapes.py).

No two subjects share a colour or an outline, so that each can be recognized even in black and white.
"""

from dataclasses import dataclass

from t2v_helpers.cartoon.shapes import INK, Shape, ellipse, limb, polygon

WHITE = (250, 250, 250)


@dataclass(frozen=True)
class Pose:
    """How the limbs are held: `swing`, -1 to 1, parts the legs; arms are angles in radians (0 is down, pi is up)."""

    swing: float = 0.0
    left_arm: float = 0.5
    right_arm: float = 0.5
    asleep: bool = False


def _eyes(pose: Pose, y: float, r: float, *xs: float) -> list[Shape]:
    if pose.asleep:
        return [polygon(INK, (x - r, y), (x + r, y), (x + r, y + r / 2), (x - r, y + r / 2)) for x in xs]
    return [eye for x in xs for eye in (ellipse(WHITE, x, y, r, r), ellipse(INK, x + r / 4, y, r * 0.55, r * 0.55))]


def _legs(colour, pose: Pose, xs, y: float, length: float, width: float) -> list[Shape]:
    """Legs at `xs`; neighbouring legs swing in opposite directions, and all are tucked in when asleep."""
    length = length * (0.35 if pose.asleep else 1)
    return [limb(colour, x, y, 0.55 * pose.swing * (-1) ** i, length, width) for i, x in enumerate(xs)]


def _raised_leg(colour, pose: Pose, x: float, y: float, length: float, width: float) -> list[Shape]:
    """A front leg, lifted in front of the body while the pose's right arm is up."""
    return [limb(colour, x, y, 0.4 + pose.right_arm, length, width)] if pose.right_arm > 1 else []


def robot(pose: Pose) -> list[Shape]:
    """A blue-grey box on legs, with a square head and a red light on its antenna."""
    grey, dark, red = (150, 178, 205), (92, 108, 132), (235, 50, 50)
    return [
        *_legs(dark, pose, (-0.25, 0.25), 0.5, 0.4, 0.2),
        limb(dark, -0.42, -0.02, -pose.left_arm, 0.5, 0.18),
        limb(dark, 0.42, -0.02, pose.right_arm, 0.5, 0.18),
        polygon(dark, (-0.04, -0.9), (0.04, -0.9), (0.04, -0.7), (-0.04, -0.7)),
        ellipse(red, 0, -0.92, 0.11, 0.11),
        polygon(grey, (-0.45, -0.1), (0.45, -0.1), (0.45, 0.58), (-0.45, 0.58)),
        polygon(grey, (-0.4, -0.76), (0.4, -0.76), (0.4, -0.16), (-0.4, -0.16)),
        *_eyes(pose, -0.5, 0.13, -0.18, 0.18),
        polygon(INK, (-0.22, -0.3), (0.22, -0.3), (0.22, -0.23), (-0.22, -0.23)),
        polygon((250, 205, 60), (-0.2, 0.08), (0.2, 0.08), (0.2, 0.34), (-0.2, 0.34)),
    ]


def monkey(pose: Pose) -> list[Shape]:
    """A dark brown monkey: round ears, a pale face and belly, a curled tail."""
    brown, pale = (96, 58, 34), (236, 192, 148)
    return [
        limb(brown, -0.3, 0.5, -1.9, 0.5, 0.12),
        limb(brown, -0.76, 0.34, -2.9, 0.36, 0.12),
        *_legs(brown, pose, (-0.2, 0.2), 0.5, 0.4, 0.2),
        limb(brown, -0.26, 0.0, -pose.left_arm, 0.62, 0.17),
        limb(brown, 0.26, 0.0, pose.right_arm, 0.62, 0.17),
        ellipse(brown, 0, 0.28, 0.35, 0.42),
        ellipse(pale, 0, 0.34, 0.2, 0.26),
        *(ellipse(colour, x, -0.48, r, r) for x in (-0.45, 0.45) for colour, r in ((brown, 0.2), (pale, 0.1))),
        ellipse(brown, 0, -0.5, 0.42, 0.4),
        ellipse(pale, 0, -0.38, 0.3, 0.26),
        *_eyes(pose, -0.5, 0.1, -0.13, 0.13),
        ellipse(INK, 0, -0.28, 0.12, 0.045),
    ]


def dog(pose: Pose) -> list[Shape]:
    """A tan dog: a long snout, a dark floppy ear, a raised tail."""
    tan, dark = (200, 138, 72), (70, 42, 26)
    return [
        limb(tan, -0.62, 0.1, -2.5 + 0.3 * pose.swing, 0.5, 0.15),
        *_legs(tan, pose, (-0.5, -0.28, 0.18, 0.4), 0.38, 0.52, 0.19),
        *_raised_leg(tan, pose, 0.4, 0.2, 0.4, 0.17),
        ellipse(tan, -0.08, 0.2, 0.62, 0.31),
        ellipse(tan, 0.48, -0.36, 0.34, 0.33),
        ellipse(tan, 0.76, -0.24, 0.24, 0.16),
        ellipse(INK, 0.94, -0.3, 0.1, 0.09),
        ellipse(dark, 0.25, -0.22, 0.15, 0.36, 0.15),
        *_eyes(pose, -0.44, 0.11, 0.55),
        polygon((220, 40, 50), (0.16, 0.0), (0.5, 0.1), (0.48, 0.02), (0.2, -0.1)),
    ]


def cat(pose: Pose) -> list[Shape]:
    """An orange cat: big pointed ears, a striped back, a long raised tail."""
    orange, cream, stripe = (248, 150, 40), (255, 226, 180), (196, 92, 20)
    return [
        limb(orange, -0.55, 0.2, -2.75 - 0.25 * pose.swing, 0.7, 0.14),
        limb(orange, -0.82, -0.44, -1.9 - 0.25 * pose.swing, 0.2, 0.14),
        *_legs(orange, pose, (-0.45, -0.25, 0.2, 0.4), 0.42, 0.48, 0.16),
        *_raised_leg(orange, pose, 0.36, 0.25, 0.4, 0.15),
        ellipse(orange, -0.06, 0.26, 0.56, 0.28),
        polygon(stripe, (-0.3, 0.0), (-0.2, -0.02), (-0.2, 0.34)),
        polygon(stripe, (-0.05, -0.02), (0.05, -0.02), (0.02, 0.34)),
        polygon(orange, (0.1, -0.5), (0.12, -0.98), (0.46, -0.68)),
        polygon(orange, (0.5, -0.68), (0.84, -0.98), (0.86, -0.5)),
        ellipse(orange, 0.48, -0.38, 0.42, 0.36),
        ellipse(cream, 0.52, -0.22, 0.22, 0.15),
        *_eyes(pose, -0.45, 0.11, 0.34, 0.66),
        polygon((220, 90, 110), (0.46, -0.3), (0.58, -0.3), (0.52, -0.22)),
    ]


def horse(pose: Pose) -> list[Shape]:
    """A bay horse: a long neck and face, a black mane and tail, long legs."""
    bay, black = (156, 64, 40), (34, 24, 30)
    return [
        limb(black, -0.62, 0.02, -0.5 + 0.3 * pose.swing, 0.6, 0.2),
        *_legs(bay, pose, (-0.48, -0.3, 0.22, 0.4), 0.25, 0.66, 0.15),
        *_raised_leg(bay, pose, 0.38, 0.15, 0.5, 0.15),
        ellipse(bay, -0.1, 0.06, 0.58, 0.3),
        polygon(bay, (0.1, 0.1), (0.5, 0.16), (0.74, -0.62), (0.46, -0.78)),
        polygon(black, (0.02, -0.04), (0.16, -0.1), (0.52, -0.88), (0.34, -0.84)),
        polygon(bay, (0.46, -0.7), (0.5, -0.98), (0.62, -0.76)),
        ellipse(bay, 0.72, -0.55, 0.34, 0.16, 0.55),
        ellipse((232, 190, 160), 0.93, -0.42, 0.12, 0.11),
        *_eyes(pose, -0.64, 0.09, 0.62),
    ]


def fish(pose: Pose) -> list[Shape]:
    """A round red fish with a fan-shaped tail and yellow fins."""
    red, yellow = (238, 62, 84), (255, 206, 64)
    flap = 0.22 * pose.swing
    return [
        polygon(yellow, (-0.4, 0.05), (-0.98, -0.45 + flap), (-0.82, 0.05), (-0.98, 0.55 + flap)),
        polygon(yellow, (-0.3, -0.4), (0.0, -0.85), (0.3, -0.42)),
        polygon(yellow, (-0.15, 0.45), (0.0, 0.85), (0.2, 0.45)),
        ellipse(red, 0.12, 0.05, 0.72, 0.52),
        limb(yellow, 0.0, 0.12, -pose.left_arm, 0.36, 0.22),
        polygon(WHITE, (0.24, -0.38), (0.36, -0.34), (0.28, 0.46), (0.16, 0.5)),
        *_eyes(pose, -0.1, 0.14, 0.56),
        ellipse(INK, 0.8, 0.16, 0.07, 0.04),
    ]


def elephant(pose: Pose) -> list[Shape]:
    """A lilac elephant: a large ear, a swinging trunk, thick legs."""
    lilac, dark = (168, 146, 214), (122, 98, 172)
    return [
        *_legs(lilac, pose, (-0.5, -0.2, 0.1, 0.34), 0.4, 0.5, 0.27),
        limb(dark, -0.68, 0.05, -0.5 - 0.3 * pose.swing, 0.36, 0.1),
        ellipse(lilac, -0.14, 0.1, 0.6, 0.48),
        ellipse(lilac, 0.44, -0.26, 0.38, 0.38),
        limb(lilac, 0.74, -0.15, 0.35 * pose.right_arm, 0.55, 0.2),
        limb(lilac, 0.74 + 0.5 * 0.35 * pose.right_arm, 0.32, 0.9 + 0.4 * pose.right_arm, 0.22, 0.17),
        polygon(WHITE, (0.6, 0.02), (0.68, -0.06), (0.92, 0.22)),
        ellipse(dark, 0.18, -0.26, 0.3, 0.4),
        *_eyes(pose, -0.36, 0.1, 0.58),
    ]


def duck(pose: Pose) -> list[Shape]:
    """A yellow duck: a broad orange bill, orange feet, a round body, a flapping wing."""
    yellow, orange, deep = (255, 224, 60), (250, 120, 20), (226, 176, 20)
    return [
        *_legs(orange, pose, (-0.15, 0.15), 0.6, 0.3, 0.14),
        polygon(yellow, (-0.5, 0.1), (-0.95, -0.12), (-0.55, 0.5)),
        ellipse(yellow, -0.08, 0.28, 0.58, 0.42),
        ellipse(yellow, 0.3, -0.42, 0.38, 0.38),
        polygon(orange, (0.58, -0.5), (1.0, -0.4), (0.98, -0.26), (0.58, -0.2)),
        limb(deep, -0.05, 0.16, -pose.left_arm, 0.46, 0.28),
        *_eyes(pose, -0.5, 0.12, 0.42),
    ]


DRAW = {draw.__name__: draw for draw in (robot, dog, cat, monkey, horse, fish, elephant, duck)}
