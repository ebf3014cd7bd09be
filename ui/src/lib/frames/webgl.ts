/** Draws I420 pictures with WebGL2: three textures, colours converted in the fragment shader. */
import type { Picture } from "./protocol";
import type { Painter } from "./stream";

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

// BT.601, limited range (ITU-R BT.601-7, 2.5): Y in 16..235, chroma in 16..240.
const FRAGMENT = `#version 300 es
precision mediump float;
in vec2 at;
out vec4 colour;
uniform sampler2D y_plane;
uniform sampler2D u_plane;
uniform sampler2D v_plane;
void main() {
  float y = 1.16438 * (texture(y_plane, at).r - 0.0627451);
  float u = texture(u_plane, at).r - 0.5019608;
  float v = texture(v_plane, at).r - 0.5019608;
  colour = vec4(y + 1.59603 * v, y - 0.39176 * u - 0.81297 * v, y + 2.01723 * u, 1.0);
}`;

function compile(gl: WebGL2RenderingContext, type: number, source: string): WebGLShader {
  const shader = gl.createShader(type);
  if (!shader) throw new Error("no shader");
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) {
    throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
  }
  return shader;
}

export class WebGlPainter implements Painter {
  #canvas: HTMLCanvasElement;
  #gl: WebGL2RenderingContext;
  #textures: WebGLTexture[];
  #size = "";
  #abort = new AbortController();

  /** Throws where WebGL2 is not to be had. */
  constructor(canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", {
      alpha: false,
      antialias: false,
      depth: false,
      desynchronized: true,
      preserveDrawingBuffer: true,
    });
    if (!gl) throw new Error("WebGL2 is not available");
    this.#canvas = canvas;
    this.#gl = gl;
    this.#textures = this.#prepare();
    const { signal } = this.#abort;
    // The graphics driver may take everything away (a suspended laptop) and give an empty context back.
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault(), { signal });
    const again = () => ([this.#textures, this.#size] = [this.#prepare(), ""]);
    canvas.addEventListener("webglcontextrestored", again, { signal });
  }

  #prepare(): WebGLTexture[] {
    const gl = this.#gl;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program) ?? "program");
    }
    gl.useProgram(program);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    return ["y_plane", "u_plane", "v_plane"].map((name, unit) => {
      const texture = gl.createTexture();
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
      return texture;
    });
  }

  paint(picture: Picture): void {
    const gl = this.#gl;
    const size = `${picture.width}x${picture.height}`;
    const resized = size !== this.#size;
    if (resized) {
      this.#size = size;
      this.#canvas.width = picture.width;
      this.#canvas.height = picture.height;
      gl.viewport(0, 0, picture.width, picture.height);
    }
    const planes = [picture.y, picture.u, picture.v];
    planes.forEach((plane, unit) => {
      const width = unit ? picture.width / 2 : picture.width;
      const height = unit ? picture.height / 2 : picture.height;
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, this.#textures[unit]!);
      if (resized) {
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, width, height, 0, gl.RED, gl.UNSIGNED_BYTE, plane);
      } else {
        gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED, gl.UNSIGNED_BYTE, plane);
      }
    });
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  release(): void {
    this.#abort.abort();
    this.#gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
