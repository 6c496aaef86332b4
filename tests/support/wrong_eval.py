"""Wrong inputs of ``dreamx eval`` and ``dreamx bench``, as in ``wrong_data``."""

WRONG = """
eval
    fast                                    | fast
eval quick --world world
    --scenes 0                              | scenes
    --first-seed 5                          | seed
    --sheet -1                              | sheet
    --models ours best                      | best
    --models warp                           | ours
    --world nowhere                         | nowhere
    --world notes.txt                       | notes.txt
    --world empty                           | empty
    --world ''                              | world
    --out notes.txt                         | notes.txt
    --truth notes.txt                       | notes.txt
eval clips --clips clips --world world
    --clips nowhere                         | nowhere
    --clips empty                           | empty
    --world nowhere                         | nowhere
    --most 0                                | most
    --frames 0                              | frames
    --seed -1                               | seed
    --out notes.txt                         | notes.txt
eval basic --world world
    --cases 0                               | cases
    --cases -1                              | cases
    --seed -1                               | seed
    --processes -1                          | processes
    --shown -1                              | shown
    --steps 0                               | steps
    --models yours                          | yours
    --models                                | models
    --videos nowhere                        | nowhere
    --videos film.mp4                       | film.mp4
    --moments -1                            | moments
    --moments nan                           | moments
    --quality nowhere.pt2                   | nowhere.pt2
    --quality notes.txt                     | notes.txt
    --flow empty                            | empty
    --judge http://127.0.0.1:9              | judge
    --judge nonsense --judge-model m        | judge
    --world nowhere                         | nowhere
    --out notes.txt                         | notes.txt
    --truth notes.txt                       | notes.txt
eval long --world world
    --cases 0                               | cases
    --moments 5 x                           | --moments
    --processes 9999999                     | processes
    --world damaged                         | damaged
eval memory --world world
    --steps -1                              | steps
    --distance nowhere.pt2                  | nowhere.pt2
    --out picture.png                       | picture.png
eval events --world world
    --cases 0                               | cases
    --seed 1.5                              | --seed
    --middle notes.txt                      | notes.txt
eval hold --world world
    --cases 97                              | cases
    --models ours best                      | best
    --dino nowhere.pt2                      | nowhere.pt2
    --out notes.txt                         | notes.txt
eval speed --world world
    --seconds 0                             | seconds
    --seconds nan                           | seconds
    --threads -1                            | threads
    --threads 100000                        | threads
    --world nowhere                         | nowhere
    --out notes.txt                         | notes.txt
eval ablate
    --cases 1                               | worlds, WORLDS
eval ablate world
    --cases 0                               | cases
    --seconds 9                             | seconds
    --chunks 0                              | chunks
    --processes 0                           | processes
    --steps 0                               | steps
    --steps 2 2                             | steps
    --out notes.txt                         | notes.txt
eval ablate nowhere
    --cases 1                               | nowhere
eval draw basic --out new.json
    --cases 0                               | cases
    --seed -1                               | seed
    --out empty                             | empty
eval draw sideways --out new.json
                                            | sideways
eval compare
    report                                  | B
eval compare empty empty
                                            | empty
eval compare nowhere nowhere
                                            | nowhere
eval compare notes.txt notes.txt
                                            | notes.txt
eval compare damaged damaged
                                            | report.json
eval classifiers --folder new
    --scenes 0                              | scenes
    --first-seed 3                          | seed
    --learned nowhere                       | nowhere
    --learned notes.txt                     | notes.txt
    --folder notes.txt                      | notes.txt
    --ship notes.txt                        | notes.txt
eval features --folder new
    --scenes 0                              | scenes
    --first-seed 3                          | seed
    --learned nowhere                       | nowhere
    --learned empty                         | empty
    --folder notes.txt                      | notes.txt
    --ship notes.txt                        | notes.txt
eval estimators --folder new
    --clips 0                               | clips
    --first-seed 3                          | seed
    --learned nowhere                       | nowhere
    --learned empty                         | empty
    --folder notes.txt                      | notes.txt
    --ship notes.txt                        | notes.txt
eval study films films --answers new.jsonl
    --port 70000                            | port
    --port -1                               | port
    --seed -1                               | seed
    --answers empty                         | empty
    --answers notes.txt                     | notes.txt
eval study films empty
                                            | empty
eval study nowhere films
                                            | nowhere
eval study film.mp4 films
                                            | film.mp4
bench play --world world
    --seconds 0                             | seconds
    --seconds inf                           | seconds
    --threads -1                            | threads
    --threads 100000                        | threads
    --world nowhere                         | nowhere
bench engine --config tiny
    --threads 0                             | threads
    --chunks 0                              | chunks
    --size 7                                | size
    --size 0x0                              | size
    --size 65x64                            | size
    --device toaster                        | toaster
    --dtype int8                            | --dtype
    --attention warp                        | --attention
    --config nowhere                        | nowhere
bench data
    --scenes 0                              | scenes
    --many -1                               | many
    --frames 0                              | frames
    --width 0                               | width
    --height -8                             | height
"""
