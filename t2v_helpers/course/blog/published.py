"""What the blog did and said: its six videos, in its order, and its claims."""

from dataclasses import dataclass

from t2v_helpers.core.checking import one_of


@dataclass(frozen=True)
class Run:
    """One video of the blog: the name and SHA-256 of its file, and what was asked."""

    file: str
    prompt: str
    scheduler: str
    sha256: str
    steps: int = 50
    frames: int = 20
    fps: int = 8


@dataclass(frozen=True)
class Claim:
    """A sentence of the blog, or what its text implies, and how it is tested."""

    name: str
    words: str
    test: str


MONKEY = "A monkey is riding a horse around a lake"
ROBOT = "A Robot is dancing in the Times Square"
DOG = "A cartoon of a dog dancing in Van Gogh style"
RUNS = (  # in the blog's order, which is the order of the draws
    Run("example.mp4", MONKEY, "ddim", "10c0730bf15980bf6fe751627b44f096126dab22532ab1f8f9e4dde9a65c77a7"),
    Run("example1.mp4", MONKEY, "dpm++", "129c206880aa3266dce4fb48607335e51a7bd2e9f336df2908bfcc90ef9db788"),
    Run("example2.mp4", MONKEY, "lms", "ad716f37581e3da790e306f370411372acf852f0025a8df133bc905d17f542a8"),
    Run("example3.mp4", MONKEY, "pndm", "6bd59f83eb9ae0b8b7090365722ec9b6e1b255d5da46a5c0868015878fa56b7f"),
    Run("example_ts.mp4", ROBOT, "ddim", "680f7aaec180a9315ce1dc71ab898fc21a9bf53102a2f6f41b688c4b089fc278"),
    Run("example_vs.mp4", DOG, "ddim", "7af4193ab6f5288c7532f5373bd378ccbdef0d90df9fa39159065c73298c5405"),
)
SETUP = {  # what the blog says, or leaves at the defaults of its day
    "model": "modelscope", "pixels": "256x256", "guidance": "9", "dtype": "float32", "device": "an AMD GPU",
    "torch": "2.1.1",
}  # fmt: skip
CLAIMS = (
    Claim("first lines", 'pipe = DiffusionPipeline.from_pretrained("damo-vilab/text-to-video-ms-1.7b")',
          "the same call today, without a dtype, and one step"),
    Claim("block", "these operations were repeated (2, 4, 2, 2) times",
          "count them in the published model's own classes, built without weights"),
    Claim("attention", "two types of spatial attentions ... Both temporal attentions are self-attention",
          "look at what their keys are made from, in the same classes"),
    Claim("modular", "These components are modular, allowing us to swap one component with another of the same type",
          "four schedulers on the same weights"),
    Claim("compare", "You can find the generated videos ... and compare the schedulers' effect",
          "how far apart videos are for another noise, and for another scheduler"),
    Claim("difficulty", "the inherent difficulty in quantitatively measuring the effectiveness of different schedulers",
          "the distance to where 50 steps arrive, from the same noise"),
    Claim("Times Square", '"Times Square" ... the model effectively incorporates these key elements',
          "the place that the judge reads, with the words and without, several seeds"),
    Claim("Van Gogh", '"Van Gogh Style" ... the model effectively incorporates these key elements',
          "the style that the judge reads, with the words and without, several seeds"),
    Claim("more steps", "higher-quality images in the video, consider increasing the num_inference_steps",
          "the distance to where 50 steps arrive, and what the judge reads, for 5 to 25 steps"),
    Claim("more frames", "For longer videos, adjust the num_frames",
          "the length of a video of more frames, and what the judge reads"),
    Claim("export", "export_to_video(video_frames[0], ...)", "its frames a second today, when nothing is said"),
    Claim("speed", "50/50 [00:31<00:00, 1.58it/s]", "seconds for the same call on a GPU"),
    Claim("performance", "Experimental results demonstrate the model's superior performance",
          "the report's scores on MSR-VTT"),
)  # fmt: skip


def claim(name: str) -> Claim:
    """The claim of that name. ValueError: there is none."""
    names = [one.name for one in CLAIMS]
    return CLAIMS[names.index(one_of("name", name, names))]
