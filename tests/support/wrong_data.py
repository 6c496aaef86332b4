"""Wrong inputs of ``dreamx data``. A line without indent begins a command; each below it adds what is wrong | what is named."""

WRONG = """
data render
    --scenes 1                              | --out
data render --out new
    --fps 0                                 | fps
    --fps -3                                | fps
    --fps abc                               | --fps
    --fps nan                               | fps
    --fps inf                               | fps
    --fov -3                                | fov
    --fov 180                               | fov
    --scenes 0                              | scenes
    --scenes 1.5                            | --scenes
    --clips 0                               | clips
    --frames 0                              | frames
    --frames -9                             | frames
    --width 0                               | width
    --height -64                            | height
    --height 99999999                       | height
    --first-seed -1                         | seed
    --first-seed 1000000                    | seed
    --first-seed 99999999999999999999 --evaluation | seed
    --processes -1                          | processes
    --processes 100000                      | processes
    --styles                                | styles
    --styles sepia                          | sepia
    --kinds cellar                          | cellar
    --crf 99 --dataset                      | crf
    --crf -1 --dataset                      | crf
    --patience 0                            | patience
    --patience nan                          | patience
    --engine spark                          | --engine
    --engine ray                            | engine
    --out notes.txt                         | notes.txt
    --out notes.txt/below                   | notes.txt
    --out set                               | set
    --out ''                                | --out
    --dataset --out clips                   | clips
    --fps                                   | --fps
    --fsp 3                                 | --fps
    extra                                   | extra
data simulate --out new
    --fps 0                                 | fps
    --fov 200                               | fov
    --scenes 0                              | scenes
    --frames 8                              | frames
    --width 4                               | width
    --subset dreams                         | dreams
    --subset                                | subset
    --processes -1                          | processes
    --held-out                              | held
    --first-seed -5                         | seed
    --out picture.png                       | picture.png
    --out set                               | set
data proof
    --gap 3                                 | --clips
    --clips nowhere                         | nowhere
    --clips notes.txt                       | notes.txt
    --clips empty                           | empty
    --clips clips --gap 0                   | gap
    --clips damaged                         | damaged
data sheet --clips clips --out new.png
    --columns 0                             | columns
    --clips nowhere                         | nowhere
    --clips empty                           | empty
    --clips damaged                         | damaged
    --out empty                             | empty
    --out new.docx                          | new.docx
    --out nowhere/new.png                   | nowhere
    --out ''                                | --out
data stills --out new
    --scenes 0                              | scenes
    --views -1                              | views
    --homes 1.5                             | homes
    --width 0                               | width
    --fov 190                               | fov
    --first-seed 999999                     | seed
    --out notes.txt                         | notes.txt
data starts --out new
    --each 0                                | each
    --each -1                               | each
    --fov -3                                | fov
    --width 0                               | width
    --height 1000000                        | height
    --first-seed -1                         | seed
    --first-seed 999999                     | seed
    --out notes.txt                         | notes.txt
data doom --out new
    --clips 0                               | clips
    --first-seed -1                         | seed
    --maps E9M9                             | E9M9
    --maps                                  | maps
    --wanted.fps 0                          | fps
    --wanted.fps 1000                       | fps
    --wanted.width 1                        | width
    --wanted.frames 1                       | frames
    --out notes.txt                         | notes.txt
data import
    realestate10k                           | FOLDER
    shutter clips --out new                 | shutter
data import video films --out new --licence CC0
    --rate 0                                | rate
    --rate -1                               | rate
    --rate nan                              | rate
    --processes -2                          | processes
    --wanted.width 0                        | width
    --wanted.fps -16                        | fps
    --wanted.fps inf                        | fps
    --out notes.txt                         | notes.txt
    --dataset --out clips                   | clips
data import video nowhere --out new --licence CC0
    --processes 1                           | nowhere
data import video film.mp4 --out new --licence CC0
    --processes 1                           | film.mp4
data import dl3dv empty --out new
    --processes 1                           | empty
data import sekai clips --out new
    --processes 1                           | clips
data curate clips --out new
    --processes -1                          | processes
    --limits.fps -1                         | fps
    --limits.seconds nan                    | seconds
    --limits.dark x                         | --limits.dark
    --limit.dark 3                          | --limits.dark
    --out clips                             | clips
    --out notes.txt                         | notes.txt
data curate nowhere --out new
    --processes 1                           | nowhere
data curate empty --out new
    --processes 1                           | empty
data curate notes.txt --out new
    --processes 1                           | notes.txt
data caption clips --out new
    --at-once 0                             | at-once, at_once
    --endpoint.address ftp://x              | address
    --endpoint.address ''                   | address
    --endpoint.tries 0                      | tries
    --endpoint.patience 0                   | patience
    --endpoint.frames 0                     | frames
    --endpoint.side -1                      | side
    --endpoint.wait -1                      | wait
    --out notes.txt                         | notes.txt
data caption empty --out new
    --at-once 1                             | empty
data caption nowhere --out new
    --at-once 1                             | nowhere
data report clips --out new.html
    --samples -1                            | samples
    --limits.blur -1                        | blur
    --out empty                             | empty
    --out new.png                           | new.png
data report nowhere --out new.html
    --samples 1                             | nowhere
data report notes.txt --out new.html
    --samples 1                             | notes.txt
data encode --clips clips --vae vae --out new.safetensors
    --most 0                                | most
    --most -1                               | most
    --processes -1                          | processes
    --clips nowhere                         | nowhere
    --clips notes.txt                       | notes.txt
    --clips empty                           | empty
    --clips damaged                         | damaged
    --vae nowhere                           | nowhere
    --vae empty                             | empty
    --vae notes.txt                         | notes.txt
    --vae model.safetensors                 | model.safetensors
    --text nowhere                          | nowhere
    --text world                            | text
    --text-dtype float16                    | text
    --depth nowhere memory:memory-config    | nowhere
    --depth empty memory:memory-config      | empty
    --ahead 3 1 memory:memory-config        | ahead
    memory:memory-config --memory.views 0   | views
    --memory.views 3                        | memory
    --ahead -2 -1                           | ahead
    --ahead 1 2                             | ahead
    --out empty                             | empty
    --out new.txt                           | new.txt
data pack clips --out new
    --crf 60                                | crf
    --size 0 0                              | size
    --size 63                               | size
    --size 100000 8                         | size
    --fps 0                                 | fps
    --fps nan                               | fps
    --processes -1                          | processes
    --patience -1                           | patience
    --out clips                             | clips
    --out notes.txt                         | notes.txt
    --limits.zoom inf                       | zoom
data pack nowhere --out new
    --processes 1                           | nowhere
data pack notes.txt --out new
    --processes 1                           | notes.txt
data pack empty --out new
    --processes 1                           | empty
data unpack set --out new
    --out notes.txt                         | notes.txt
    --out ''                                | --out
data unpack nowhere --out new
                                            | nowhere
data unpack notes.txt --out new
                                            | notes.txt
data export set --out new
    --clips-a-tar 0                         | clips_a_tar, clips-a-tar
    --clips-a-tar -4                        | clips_a_tar, clips-a-tar
    --out notes.txt                         | notes.txt
data export clips --out new
                                            | clips
data export nowhere --out new
                                            | nowhere
data import-wds tars --out new
    --crf 77                                | crf
    --fps -1                                | fps
    --size -4 8                             | size
    --processes -1                          | processes
    --out notes.txt                         | notes.txt
    --out clips                             | clips
data import-wds nowhere --out new
    --processes 1                           | nowhere
data import-wds empty --out new
    --processes 1                           | empty
data import-wds notes.txt --out new
    --processes 1                           | notes.txt
data
    encoed                                  | encoed
"""
