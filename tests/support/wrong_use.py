"""Wrong inputs of ``dreamx`` itself, play, generate, convert, trajectory, conformance, calibrate, doctor; see ``wrong_data``."""

WRONG = """
plya
                                            | plya
--colour
                                            | --colour
play --state new --world world
    --port 70000                            | port
    --port -1                               | port
    --port http                             | --port
    --threads 0                             | threads
    --threads 100000                        | threads
    --sessions 0                            | sessions
    --jpeg-quality 0                        | jpeg
    --idle-seconds nan                      | idle
    --keep-seconds nan                      | keep
    --keep-seconds -1                       | keep
    --token short                           | token
    --token ''                              | token
    --starts nowhere                        | nowhere
    --starts picture.png                    | picture.png
    --state notes.txt                       | notes.txt
    --world nowhere                         | nowhere
    --world notes.txt                       | notes.txt
    --world empty                           | empty
    --world damaged                         | damaged
    --host not/a/host                       | host
    --hots 127.0.0.1                        | --host
serve --world world --store new
    --port 70000                            | port
    --host not/a/host                       | host
    --replicas 0                            | replicas
    --replicas 3 --most-replicas 2          | most_replicas
    --most-replicas -1                      | most_replicas
    --spare-places -1                       | spare-places
    --calm-seconds nan                      | calm
    --cpus-per-replica 0                    | cpus-per-replica
    --gpus-per-replica 2                    | gpus_per_replica
    --gpus-per-replica nan                  | gpus-per-replica
    --kept 0                                | kept
    --waiting -1                            | waiting
    --sessions 0                            | sessions
    --keep-seconds 0                        | keep-seconds
    --state elsewhere                       | state
    --store notes.txt                       | notes.txt
    --store world                           | world
    --store ftq://x/y                       | ftq
    --store ''                              | store
    --world nowhere                         | nowhere
    --world empty                           | empty
    --world damaged                         | damaged
    --starts nowhere                        | nowhere
    --token short                           | token
    --ray-address 10.0.0.1:6379             | ray_address
    --front-address nowhere                 | front_address
    --replica 2                             | --replicas
generate --world world --start picture.png
    --actions w*4                           | --out
    --out new.mp4                           | actions
generate --world world --start picture.png --actions w*4 --out new.mp4
    --threads 0                             | threads
    --seed -1                               | seed
    --seed 2147483648                       | seed
    --out new.avi                           | new.avi
    --out new                               | new
    --out nowhere/new.mp4                   | nowhere
    --out taken.mp4                         | taken.mp4
    --out folder.mp4                        | folder.mp4
    --start nowhere.png                     | nowhere.png
    --start empty                           | empty
    --start notes.txt                       | notes.txt
    --start film.mp4                        | film.mp4
    --start cut.png                         | cut.png
    --actions ''                            | actions
    --actions x*4                           | actions
    --actions w*-4                          | actions
    --actions w*0                           | actions
    --actions w*99999999999                 | actions
    --actions nowhere.txt                   | nowhere.txt
    --actions empty                         | actions, empty
    --replay replay.json                    | replay
    --timeline nowhere.txt                  | nowhere.txt
    --timeline notes.txt                    | notes.txt
    --timeline cut.png                      | cut.png
    --resume                                | resume
    --size 64 64                            | size
    --world nowhere                         | nowhere
    --world damaged                         | damaged
    --frames 9                              | frames
generate --out new.mp4 --replay nowhere.json
                                            | nowhere.json
generate --out new.mp4 --replay broken.json
                                            | broken.json
generate --out new.mp4 --replay empty
                                            | empty
generate list.json --world world --out new
    --timeline notes.txt                    | timeline
    --frames 0                              | frames
    --frames 10                             | frames
    --part 0                                | part
    --part -8                               | part
    --steps 0                               | steps
    --guidance nan                          | guidance
    --size 0 0                              | size
    --colour 2                              | colour
    --colour nan                            | colour
    --device toaster                        | device
    --dialect klingon                       | klingon
    --out new.mp4                           | new.mp4
    --out notes.txt                         | notes.txt
    --prompt hello                          | prompt
    --resume --overwrite                    | resume
generate nowhere.json --world world --out new
                                            | nowhere.json
generate broken.json --world world --out new
                                            | broken.json
generate empty --world world --out new
                                            | empty
generate film.mp4 --world world --out new
                                            | film.mp4
convert
    model.safetensors                       | --out
convert model.safetensors --out new
    --to tensorrt                           | --to
    --kind small                            | --kind
    --shard 0                               | shard
    --shard nan                             | shard
    --dtype int4                            | --dtype
    --merge nan                             | merge
    --merge 1                               | merge, model.safetensors
    --lora nowhere.safetensors              | lora, model.safetensors
    --config nowhere.json                   | nowhere.json, model.safetensors
    --out empty                             | empty
    --out notes.txt                         | notes.txt
    --out notes.txt/below                   | notes.txt
convert nowhere.safetensors --out new
                                            | nowhere.safetensors
convert damaged/broken.safetensors --out new
                                            | broken.safetensors
convert notes.txt --out new
                                            | notes.txt
convert empty --out new
                                            | empty
convert film.mp4 --out new
                                            | film.mp4
trajectory import path.json --dialect dreamx --out new.json
    --dialect klingon                       | klingon
    --fps 0                                 | fps
    --fps nan                               | fps
    --frames 0                              | frames
    --size 0 64                             | size
    --lens 1 1                              | lens
    --lens 0 0 0 0                          | lens
    --item -1                               | item
    --out taken.json                        | taken.json
    --out empty                             | empty
    --out nowhere/new.json                  | nowhere
trajectory import nowhere.json --dialect dreamx --out new.json
                                            | nowhere.json
trajectory import broken.json --dialect dreamx --out new.json
                                            | broken.json
trajectory import empty --dialect dreamx --out new.json
                                            | empty
trajectory import film.mp4 --dialect dreamx --out new.json
                                            | film.mp4
trajectory export path.json --dialect hy-string --out new.txt
    --dialect klingon                       | klingon
    --fps -1                                | fps
    --out taken.json                        | taken.json
    --out empty                             | empty
trajectory export nowhere.json --dialect hy-string --out new.txt
                                            | nowhere.json
trajectory preview path.json --out new
    --dialect klingon                       | klingon
    --out nowhere/new                       | nowhere
    --fps inf                               | fps
trajectory preview broken.json --out new
                                            | broken.json
trajectory check path.json
    --dialect klingon                       | klingon
    --world nowhere                         | nowhere
    --world notes.txt                       | notes.txt
    --frames -5                             | frames
trajectory check nowhere.json
                                            | nowhere.json
trajectory check empty
                                            | empty
trajectory
    fly                                     | fly
conformance
    nowhere.json                            | nowhere.json
    notes.txt                               | notes.txt
    empty                                   | empty
    damaged/broken.safetensors              | broken.safetensors
    --json                                  | FILES, files
calibrate
    --config nowhere                        | nowhere
    --chunks 0                              | --chunks
    --target -3                             | --target
    --target 200                            | target
    --config tiny --size 64x64              | size
    --config tiny --dtype float16           | dtype
    --size 7                                | size
    --dtype int8                            | --dtype
doctor
    --size 7                                | size
    --size axb                              | size
    --size 0x0                              | size
    --size -8x8                             | size
    --size ''                               | --size
    --dtype int8                            | --dtype
    --device toaster                        | toaster
    --threads 3                             | --threads
    extra                                   | extra
"""
