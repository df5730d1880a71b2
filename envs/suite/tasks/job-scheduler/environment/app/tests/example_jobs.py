from jobplan import Job

CHAIN = [Job("a", needs=["b"]), Job("b", needs=["c"]), Job("c", needs=["d"]), Job("d")]
DIAMOND = [
    Job("start", 2),
    Job("left", 3, ["start"]),
    Job("right", 4, ["start"]),
    Job("end", 1, ["left", "right"]),
]
